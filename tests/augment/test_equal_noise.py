"""The loss's promise: the same noise counts the same in whatever size and composition."""

import numpy as np
import pytest
import torch

from ase_schnet.data.dataset import Dataset
from ase_schnet.data.statistics import label_statistics
from ase_schnet.model.batch import AtomsBatch
from ase_schnet.training.loss import Loss, LossWeights

H, O = 1, 8  # noqa: E741
MEAN, STD, FORCE = {H: -13.6, O: -2043.0}, {H: 0.05, O: 0.3}, {H: 0.8, O: 2.0}
CLASSES = [(5, 0.5), (20, 0.5), (50, 0.5), (20, 0.9), (20, 0.1)]  # atoms, share of hydrogen


def draw(rng, n_structures, n_atoms, share):
    """Labels, and as errors a tenth of the labels' spread, atom by atom."""
    z = np.where(rng.random((n_structures, n_atoms)) < share, H, O)
    mean, std, force = (np.where(z == H, d[H], d[O]) for d in (MEAN, STD, FORCE))
    energy = (mean + std * rng.normal(size=z.shape)).sum(axis=1)
    forces = force[..., None] * rng.normal(size=(*z.shape, 3))
    dataset = Dataset(
        Z=z.ravel(),
        R=np.zeros((z.size, 3)),
        ptr=np.arange(n_structures + 1) * n_atoms,
        E=energy,
        F=forces.reshape(-1, 3),
        cells=np.zeros((n_structures, 3, 3)),
        pbc=np.zeros((n_structures, 3), dtype=bool),
    )
    energy_error = 0.1 * (std * rng.normal(size=z.shape)).sum(axis=1)
    forces_error = 0.1 * force[..., None] * rng.normal(size=(*z.shape, 3))
    return dataset, energy_error, forces_error.reshape(-1, 3)


def batch_of(dataset):
    none = torch.zeros(0, dtype=torch.int64)
    idx_m = torch.as_tensor(np.repeat(np.arange(len(dataset)), dataset.n_atoms))
    Z, R = torch.as_tensor(dataset.Z), torch.as_tensor(dataset.R)
    return AtomsBatch(Z, R, none, none, torch.zeros(0, 3), idx_m, len(dataset))


def contributions(kind):
    """Value of the energy and of the forces term for structures of each class, (classes, 2)."""
    rng = np.random.default_rng(0)
    parts = [draw(rng, 1000, *c)[0] for c in CLASSES]
    n_atoms = np.concatenate([p.n_atoms for p in parts])
    together = {
        k: np.concatenate([getattr(p, k) for p in parts])
        for k in ("Z", "R", "E", "F", "cells", "pbc")
    }
    statistics = label_statistics(Dataset(ptr=np.append(0, n_atoms.cumsum()), **together))
    loss = Loss(LossWeights(1.0, 1.0, kind), statistics)
    rows = []
    for one in CLASSES:
        dataset, energy, forces = draw(rng, 6000, *one)
        batch = batch_of(dataset)
        energy_term = loss.energy_term(torch.as_tensor(energy), batch)
        rows.append([energy_term, loss.forces_term(torch.as_tensor(forces), batch)])
    return np.array(rows, dtype=float)


def test_equal_noise_counts_equally_whatever_the_size_and_composition():
    terms = contributions("standardised")
    assert terms == pytest.approx(np.full((5, 2), 0.01), rel=0.10)


def test_plain_squares_favour_the_large_and_the_heavy():
    energy, forces = contributions("schnet").T
    assert energy[2] / energy[0] == pytest.approx(10, rel=0.15)  # 50 atoms against 5
    assert energy[4] / energy[3] > 4  # oxygen against hydrogen
    assert forces[4] / forces[3] > 3
