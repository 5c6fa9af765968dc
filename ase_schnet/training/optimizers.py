"""Which optimiser moves which weights."""

from __future__ import annotations

import torch
from torch import Tensor

from ase_schnet.model.potential import Potential
from ase_schnet.training.muon import Muon
from ase_schnet.training.parameters import ParameterVector
from ase_schnet.training.settings import FitSettings

MUON_RATE = 10.0  # Muon's learning rate over Adam's: its step is measured in spectral norm


def as_vector(potential: Potential, settings: FitSettings) -> ParameterVector:
    """All weights in one vector, those for Muon last: the matrices between hidden layers."""

    def for_muon(name: str, parameter: Tensor) -> bool:
        matrix = parameter.ndim == 2 and "embedding" not in name and "readout_out" not in name
        return matrix and settings.optimizer == "muon"

    return ParameterVector(potential, for_muon)


def optimizers_for(
    parameters: ParameterVector, settings: FitSettings
) -> list[torch.optim.Optimizer]:
    """Muon for the vector's last part, if it has one; Adam for embedding, biases and the last layer."""
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
