"""Refuse a cutoff that is no cutoff: with it a training takes days, or its Gaussians do not meet."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ase_schnet.data.dataset import Dataset
from ase_schnet.schnet_config import SchNetConfig

#: Most neighbours of an atom, on average: liquid water has so many within 17 Å, and within 5 Å 52.
MOST_NEIGHBOURS = 2000
#: Largest distance between the centres of Gaussians, over their width σ: at 3 what lies between two of them
#: is a third as high as they are. Presets have 0.4 to 1, a search for hyperparameters up to 2.5.
WIDEST_STEP = 3.0


def require_sensible_cutoff(config: SchNetConfig, dataset: Dataset, *, begun: bool) -> None:
    """Raise ValueError for a cutoff that a typo makes, such as 50 for 5.0; it names the reason.

    Parameters
    ----------
    config
        Shape of the network.
    dataset
        All structures.
    begun
        The network begins as that of a model, whose Gaussians are what they are.
    """
    if config.centres is None and config.widths is None and not begun:
        step, width = config.cutoff / config.n_rbf, (2 * config.gamma) ** -0.5
        if step > WIDEST_STEP * width:
            raise ValueError(
                f"a cutoff of {config.cutoff:g} Å leaves gaps between the {config.n_rbf} Gaussians of the "
                f"filters: they are {width:.2g} Å wide and would be {step:.2g} Å apart. Give a shorter "
                "cutoff, or more Gaussians (n_rbf) or wider ones (a smaller gamma)"
            )
    mean = float(np.average(neighbours_within(dataset, config.cutoff), weights=dataset.n_atoms))
    if mean > MOST_NEIGHBOURS:
        raise ValueError(
            f"within a cutoff of {config.cutoff:g} Å an atom of these structures has some {mean:.0f} "
            f"neighbours, more than {MOST_NEIGHBOURS}: a training would take days. Give a shorter cutoff, "
            "such as 5 or 6 Å"
        )


def neighbours_within(dataset: Dataset, cutoff: float) -> NDArray:
    """Estimate from above the mean number of neighbours of the atoms of each structure, (S,), without pairs.

    Images count. It is that of the same number of atoms spread over the cell and, where it is not
    periodic, over its own length; at most all atoms that lie before and behind in these directions.
    """
    n_atoms = dataset.n_atoms
    found = n_atoms - 1.0
    for s in np.flatnonzero(dataset.pbc.any(axis=1)):
        periodic = dataset.pbc[s]
        cell = dataset.cells[s][periodic]  # (D, 3)
        size = np.sqrt(np.linalg.det(cell @ cell.T))  # a length, an area or a volume
        ball = {1: 2 * cutoff, 2: np.pi * cutoff**2, 3: 4 / 3 * np.pi * cutoff**3}
        found[s] = n_atoms[s] * ball[len(cell)] / size
        if len(cell) < 3:
            R = dataset.R[dataset.ptr[s] : dataset.ptr[s + 1]]
            open_ = np.linalg.svd(cell)[2][len(cell) :]  # (3 - D, 3)
            extent = np.maximum(np.ptp(R @ open_.T, axis=0), 1.0)
            found[s] = min(found[s], n_atoms[s] * ball[3] / (size * extent.prod()))
    return found
