"""The optimisers, and which weights each of them moves."""

from __future__ import annotations

import torch
from torch import Tensor

from ase_schnet.model.potential import Potential
from ase_schnet.training.muon import Muon
from ase_schnet.training.parameters import ParameterVector
from ase_schnet.training.settings import FitSettings

MUON_RATE = (
    10.0  # learning rate of Muon over that of Adam: its step has another norm, the spectral one
)


def as_vector(potential: Potential, settings: FitSettings) -> ParameterVector:
    """Return all weights in one vector; those for Muon, the matrices of hidden layers, are its last part."""

    def for_muon(name: str, parameter: Tensor) -> bool:
        matrix = parameter.ndim == 2 and "embedding" not in name and "readout_out" not in name
        return matrix and settings.optimizer == "muon"

    return ParameterVector(potential, for_muon)


def optimizers_for(
    parameters: ParameterVector, settings: FitSettings
) -> list[torch.optim.Optimizer]:
    """Return Muon for the last part of the vector, if it has one, and Adam for all other weights."""
    adam = torch.optim.AdamW if settings.weight_decay > 0 else torch.optim.Adam
    rate, decay = settings.learning_rate, settings.weight_decay
    groups = [{"params": [parameters.part(last=False)], "rate_factor": 1.0}]
    optimizers: list[torch.optim.Optimizer] = [
        adam(groups, lr=rate, weight_decay=decay, fused=True)
    ]
    if parameters.last_places:
        muon = Muon(parameters.part(last=True), parameters.last_places, rate, weight_decay=decay)
        muon.param_groups[0]["rate_factor"] = MUON_RATE
        optimizers.append(muon)
    return optimizers
