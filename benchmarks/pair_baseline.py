"""The least that a potential can be: a constant and a sum over pairs, linear in its parameters.

E = c + Σ_pairs u_ab(d), where u of each pair of elements is a sum of Gaussians every 0.25 Å up to 6 Å.
Energies and forces are linear in the coefficients, found by ridge regression on both together, or on one of
them (the implementation report's baseline was of this kind; its composition term is the constant, for one
molecule). The constant is the mean of the energies in any case.
"""

from __future__ import annotations

from itertools import combinations_with_replacement

import numpy as np

from ase_schnet.data.dataset import Dataset

CENTRES = np.arange(0.75, 6.01, 0.25)  # Å
WIDTH = 0.25  # Å
RIDGE = 1e-8  # of the mean diagonal of the normal equations


class PairBaseline:
    """Fitted to a Dataset of one molecule; `on` says to which labels: "both", "energies" or "forces"."""

    def __init__(self, training: Dataset, on: str = "both"):
        self._channels = list(combinations_with_replacement(sorted(training.elements), 2))
        features, slopes = self._expand(training)
        self._mean = features.mean(axis=0)
        energies = training.E - training.E.mean()
        # one energy and 3N components a structure, each in units of its spread
        weights = (1 / energies.std(), 1 / training.F.std())
        weights = (weights[0] * (on != "forces"), weights[1] * (on != "energies"))
        rows = np.vstack([weights[0] * (features - self._mean), -weights[1] * slopes])
        labels = np.concatenate([weights[0] * energies, weights[1] * training.F.ravel()])
        normal = rows.T @ rows
        normal += RIDGE * np.trace(normal) / len(normal) * np.eye(len(normal))
        self._coefficients = np.linalg.solve(normal, rows.T @ labels)
        self._constant = training.E.mean()

    def errors(self, test: Dataset) -> tuple[float, float]:
        """MAE of energies in eV and of force components in eV/Å."""
        energies, forces = self.predict(test)
        return np.abs(energies - test.E).mean(), np.abs(forces - test.F).mean()

    def predict(self, data: Dataset) -> tuple[np.ndarray, np.ndarray]:
        """Energies (S,) in eV and forces (N, 3) in eV/Å."""
        features, slopes = self._expand(data)
        energies = self._constant + (features - self._mean) @ self._coefficients
        return energies, -(slopes @ self._coefficients).reshape(-1, 3)

    def _expand(self, data: Dataset) -> tuple[np.ndarray, np.ndarray]:
        """Features (S, C) and their derivatives (3 S N, C) of S structures of the same N atoms."""
        n_structures = len(data)
        R, Z = data.R.reshape(n_structures, -1, 3), data.Z[: data.ptr[1]]
        n, k = len(Z), len(CENTRES)
        features = np.zeros((n_structures, len(self._channels) * k))
        slopes = np.zeros((n_structures, n, 3, len(self._channels) * k))
        for i in range(n):
            for j in range(i):
                columns = self._channels.index(tuple(sorted((Z[i], Z[j])))) * k + np.arange(k)
                vectors = R[:, i] - R[:, j]
                d = np.linalg.norm(vectors, axis=1)[:, None]
                value = np.exp(-((d - CENTRES) ** 2) / (2 * WIDTH**2))  # (S, k)
                slope = value * (CENTRES - d) / WIDTH**2
                features[:, columns] += value
                along = (vectors / d)[:, :, None] * slope[:, None, :]  # (S, 3, k)
                slopes[:, i, :, columns[0] : columns[-1] + 1] += along
                slopes[:, j, :, columns[0] : columns[-1] + 1] -= along
        return features, slopes.reshape(3 * n_structures * n, -1)
