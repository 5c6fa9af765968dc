"""Which optimiser moves which weights."""

from __future__ import annotations

import torch

from ase_schnet.model.potential import Potential
from ase_schnet.training.muon import Muon
from ase_schnet.training.settings import FitSettings

MUON_RATE = 10.0  # Muon's learning rate over Adam's: its step is measured in spectral norm


def optimizers_for(potential: Potential, settings: FitSettings) -> list[torch.optim.Optimizer]:
    """Muon for the matrices between hidden layers, Adam for embedding, biases and the last layer."""
    hidden, rest = [], []
    for name, parameter in potential.named_parameters():
        matrix = parameter.ndim == 2 and "embedding" not in name and "readout_out" not in name
        (hidden if matrix and settings.optimizer == "muon" else rest).append(parameter)
    adam = torch.optim.AdamW if settings.weight_decay > 0 else torch.optim.Adam
    rate, decay = settings.learning_rate, settings.weight_decay
    optimizers = [
        adam([{"params": rest, "rate_factor": 1.0}], lr=rate, weight_decay=decay, fused=True)
    ]
    if hidden:
        groups = [{"params": hidden, "rate_factor": MUON_RATE}]
        optimizers.append(Muon(groups, lr=rate, weight_decay=decay))
    return optimizers
