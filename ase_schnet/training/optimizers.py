"""The optimisers, and which weights each of them moves."""

from __future__ import annotations

import torch
from torch import Tensor

from ase_schnet.model.potential import Potential
from ase_schnet.training.muon import Muon
from ase_schnet.training.parameters import ParameterVector
from ase_schnet.training.settings import FitSettings
from ase_schnet.training.uncompiled import Adam, VectorOptimizer

#: Learning rate of Muon over that of Adam: its step has another norm, the spectral one.
MUON_RATE = 10.0


def as_vector(potential: Potential, settings: FitSettings) -> ParameterVector:
    """Return all weights in one vector; those for Muon, the matrices of hidden layers, are its last part."""

    def for_muon(name: str, parameter: Tensor) -> bool:
        matrix = parameter.ndim == 2 and "embedding" not in name and "readout_out" not in name
        return matrix and settings.optimizer == "muon"

    return ParameterVector(potential, for_muon)


def decays(name: str, parameter: Tensor) -> bool:
    """Say whether weight decay acts on a parameter: on the matrices of the dense layers.

    A bias is no slope; an atom's embedding is a code, whose size means nothing; and centres and widths
    of Gaussians are lengths, for which zero is not "none" but another place.
    """
    return parameter.ndim == 2 and "embedding" not in name


class WeightDecay(VectorOptimizer):
    """Draw weights towards zero, w ← (1 − rate · decay) w, whatever their gradients are.

    I. Loshchilov and F. Hutter, arXiv:1711.05101, as in AdamW; apart from the optimisers whose steps it
    follows, so that one value means the same to the weights of each.

    Parameters
    ----------
    vector
        All weights, (n,).
    chosen
        1 for those that decay, 0 for the others, (n,).
    lr
        Learning rate.
    weight_decay
        Share of itself that a weight loses per step and learning rate.
    """

    def __init__(self, vector: Tensor, chosen: Tensor, lr: float, weight_decay: float):
        super().__init__([vector], {"lr": lr, "weight_decay": weight_decay, "rate_factor": 1.0})
        self._chosen = chosen

    def _update(self, vector: Tensor, group: dict) -> None:
        vector.addcmul_(vector, self._chosen, value=-group["lr"] * group["weight_decay"])


def optimizers_for(
    parameters: ParameterVector, settings: FitSettings
) -> list[torch.optim.Optimizer]:
    """Return Adam, Muon for the last part of the vector if it has one, and the decay of the weights."""
    rate = settings.learning_rate
    groups = [{"params": [parameters.part(last=False)], "rate_factor": 1.0}]
    optimizers: list[torch.optim.Optimizer] = [Adam(groups, lr=rate, fused=True)]
    if parameters.last_places:
        muon = Muon(parameters.part(last=True), parameters.last_places, rate)
        muon.param_groups[0]["rate_factor"] = MUON_RATE
        optimizers.append(muon)
    if settings.weight_decay > 0:
        decayed = parameters.where(decays)
        optimizers.append(WeightDecay(parameters.values, decayed, rate, settings.weight_decay))
    return optimizers
