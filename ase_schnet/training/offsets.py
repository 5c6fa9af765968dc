"""Fit the constant of the energy of each species to labels, as far as the compositions tell species apart.

A training that goes on from another model has the constants of another method. One on forces alone knows the
energy of each molecule up to a constant; sums over its atoms fit those of one molecule exactly, and those of
many as well as energies of atoms can.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ase_schnet.data.dataset import Dataset
from ase_schnet.data.statistics import ridge_to_mean
from ase_schnet.model.potential import Potential
from ase_schnet.training.streaming import source_of

BATCH = 64  # structures that are evaluated at once


def fit_offsets(potential: Potential, dataset: Dataset) -> None:
    """Move the shifts of a potential, eV per atom, by the mean residual of the energies of `dataset`.

    The mean is one over structures, by their weights, of the residual per atom. Where the compositions do not
    determine a shift for each species, the smallest change that is the same for all is taken, as in
    :func:`~ase_schnet.data.statistics.label_statistics`. Forces stay as they are. Without energies in
    `dataset` nothing is done.

    Parameters
    ----------
    potential
        The potential; its `shift` is changed.
    dataset
        Structures with energies (S,) in eV, of elements that the potential knows.
    """
    if dataset.E is None:
        return
    species = np.array(dataset.elements)
    per_atom = dataset.compositions()[:, species] / dataset.n_atoms[:, None]
    residual = (dataset.E - _energies(potential, dataset)) / dataset.n_atoms  # (S,)
    shift = potential.shift.cpu().numpy().copy()
    shift[species] += ridge_to_mean(per_atom, residual, dataset.weight)
    potential.shift.copy_(torch.from_numpy(shift))


def _energies(potential: Potential, dataset: Dataset) -> NDArray:
    """Return the energies (S,) in eV."""
    device = str(potential.shift.device)
    source = source_of(dataset, potential.config.cutoff, torch.float32, device)
    with torch.no_grad():
        parts: list[Tensor] = [potential(batch) for batch, _ in source.epoch(BATCH)]
    return torch.cat(parts).cpu().numpy()
