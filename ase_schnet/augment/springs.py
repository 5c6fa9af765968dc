"""Spring constants from a thermal run: k = kB T / σ² of every peak of every pair's distances.

In a harmonic well at temperature T a distance is Gaussian with variance kB T / k. A pair of elements has
several such peaks, of bonds and of next neighbours, so its distances are fitted by a mixture of Gaussians
(docs/sources.md, springs).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms, units
from numpy.typing import NDArray
from sklearn.mixture import GaussianMixture

from ase_schnet.bonds import pair_name
from ase_schnet.data.dataset import Dataset
from ase_schnet.degrees_of_freedom import moving_degrees_of_freedom

KCAL_PER_MOL = units.kcal / units.mol
MAX_COMPONENTS = 8
#: With fewer, a peak cannot be told from chance.
STRUCTURES_PER_COMPONENT = 25
#: eV/Å². The stiffest bonds, such as N≡N, have less: a distance with a larger k does not vary thermally.
STIFFEST = 200.0


@dataclass(frozen=True, eq=False)
class PairSprings:
    """Hold the C Gaussians of the distances of one element pair, by rising mean.

    Attributes
    ----------
    means_Ang, sigmas_Ang
        Means and widths, (C,) Å.
    weights
        Shares of the distances, (C,).
    k_eV_per_Ang2
        Spring constants, (C,) eV/Å².
    """

    means_Ang: NDArray
    sigmas_Ang: NDArray
    weights: NDArray
    k_eV_per_Ang2: NDArray

    def nearest(self, distances: NDArray) -> NDArray:
        """Return k of the Gaussian with the mean nearest to each distance, eV/Å², as in the paper."""
        apart = np.abs(np.asarray(distances)[..., None] - self.means_Ang)
        return self.k_eV_per_Ang2[apart.argmin(axis=-1)]

    def weighted(self, distances: NDArray) -> NDArray:
        """Return k averaged over the Gaussians by their responsibilities for each distance, eV/Å²."""
        z = (np.asarray(distances)[..., None] - self.means_Ang) / self.sigmas_Ang
        logs = np.log(self.weights / self.sigmas_Ang) - 0.5 * z**2  # up to a constant
        shares = np.exp(logs - logs.max(axis=-1, keepdims=True))
        return (shares * self.k_eV_per_Ang2).sum(axis=-1) / shares.sum(axis=-1)


@dataclass(frozen=True, eq=False)
class Springs:
    """Hold the springs of all element pairs.

    Attributes
    ----------
    temperature_K
        Temperature of the run that they are from, K.
    pairs
        Springs by the name of the pair ("H-O").
    """

    temperature_K: float
    pairs: dict[str, PairSprings]

    def table(self) -> str:
        """Return a table with a line per Gaussian, in eV/Å² and kcal/mol/Å²."""
        lines = [f"springs k = kB T/σ² at {self.temperature_K:g} K"]
        lines.append("pair   mean (Å)   σ (Å)   weight   k (eV/Å²)   k (kcal/mol/Å²)")
        for name, pair in self.pairs.items():
            rows = zip(
                pair.means_Ang, pair.sigmas_Ang, pair.weights, pair.k_eV_per_Ang2, strict=True
            )
            lines += [
                f"{name:<6}{mean:9.3f}{sigma:9.4f}{weight:8.2f}{k:12.3f}{k / KCAL_PER_MOL:14.1f}"
                for mean, sigma, weight, k in rows
            ]
        return "\n".join(lines)

    def to_dict(self) -> dict:
        """Return plain types, for the card."""
        pairs = {
            name: {key: value.tolist() for key, value in vars(pair).items()}
            for name, pair in self.pairs.items()
        }
        return {"temperature_K": self.temperature_K, "pairs": pairs}


def fit_springs(
    dataset: Dataset,
    temperature_K: float,
    n_components: dict[str, int] | None = None,
    seed: int = 0,
) -> Springs:
    """Fit a mixture of Gaussians to the distances of every element pair.

    Parameters
    ----------
    dataset
        Molecules from a run at one temperature.
    temperature_K
        Temperature of that run, K.
    n_components
        Number of Gaussians by pair name, such as {"H-O": 4}; for other pairs, the number with the lowest
        :func:`bic`.
    seed
        Of the random starts of the fits.

    Raises
    ------
    ValueError
        For a temperature that is not positive, fewer than two structures, periodic structures, names of pairs
        that do not occur, fewer samples than Gaussians, and distances that do not vary as in a thermal run
        (scans).
    """
    if not 0 < temperature_K < math.inf:
        raise ValueError(f"the temperature must be positive, got {temperature_K} K")
    if len(dataset) < 2:
        raise ValueError(
            "one structure has no spread of distances: springs need frames of a thermal run"
        )
    samples = pair_distances(dataset)
    asked = n_components or {}
    if unknown := sorted(asked.keys() - samples.keys()):
        raise ValueError(f"no pair {unknown[0]} in the data: there are {', '.join(samples)}")
    pairs, floor = {}, units.kB * temperature_K / STIFFEST
    for name, distances in samples.items():
        mixture = _fit(name, distances, len(dataset), asked.get(name), floor, seed)
        order = mixture.means_[:, 0].argsort()
        variances = mixture.covariances_[order, 0, 0]  # (C,) Å²
        k = units.kB * temperature_K / variances
        if k.max() > STIFFEST:
            worst = int(k.argmax())
            raise ValueError(
                f"{name} distances about {mixture.means_[order][worst, 0]:.2f} Å spread by only "
                f"{math.sqrt(variances[worst]):.1g} Å, less than any bond at {temperature_K:g} K: springs "
                "need frames of a thermal run, not a scan or copies of one structure"
            )
        pairs[name] = PairSprings(
            mixture.means_[order, 0], np.sqrt(variances), mixture.weights_[order], k
        )
    return Springs(float(temperature_K), pairs)


def pair_distances(dataset: Dataset) -> dict[str, NDArray]:
    """Return distances in Å by element pair, each pair of atoms of each molecule once.

    Raises
    ------
    ValueError
        For periodic structures, which have infinitely many distances, and for data of single atoms.
    """
    if dataset.pbc.any():
        first = int(dataset.pbc.any(axis=1).argmax())
        raise ValueError(f"augmentation is for molecules; structure {first} is periodic")
    if dataset.n_atoms.max() < 2:
        raise ValueError("single atoms have no distances: augmentation is for molecules")
    found: dict[str, list[NDArray]] = {}
    for a, b in zip(dataset.ptr[:-1], dataset.ptr[1:], strict=True):
        first, second = np.triu_indices(b - a, k=1)
        positions, Z = dataset.R[a:b], dataset.Z[a:b]
        distances = np.linalg.norm(positions[second] - positions[first], axis=1)
        low, high = np.sort([Z[first], Z[second]], axis=0)
        for z1, z2 in set(zip(low.tolist(), high.tolist(), strict=True)):
            chosen = (low == z1) & (high == z2)
            found.setdefault(pair_name(z1, z2), []).append(distances[chosen])
    return {name: np.concatenate(parts) for name, parts in sorted(found.items())}


def bic(mixture: GaussianMixture, distances: NDArray, n_structures: int) -> float:
    """Return the Bayesian information criterion with one independent distance per structure.

    Lower is better. The fifteen H-H distances of one ethanol are not independent observations: if they were
    counted so, a skewed peak would be fitted by several Gaussians.
    """
    per_distance = mixture.score(distances[:, None])  # mean log-likelihood
    n_parameters = 3 * mixture.n_components - 1
    return -2 * n_structures * per_distance + n_parameters * math.log(n_structures)


def temperature_of(frames: Sequence[Atoms]) -> float | None:
    """Return the mean kinetic temperature, K, of frames with momenta; None where some have none."""
    if not frames or not all(atoms.has("momenta") for atoms in frames):
        return None
    n_dof = sum(moving_degrees_of_freedom(atoms) for atoms in frames)
    energy = sum(atoms.get_kinetic_energy() for atoms in frames)
    return float(2 * energy / (n_dof * units.kB)) if energy > 0 < n_dof else None


def _fit(
    name: str, distances: NDArray, n_structures: int, n: int | None, floor: float, seed: int
) -> GaussianMixture:
    """Return the mixture of `n` Gaussians; None: the one of lowest BIC with variances above `floor` (Å²)."""
    most = min(MAX_COMPONENTS, max(1, n_structures // STRUCTURES_PER_COMPONENT))
    choices = range(1, most + 1) if n is None else [n]
    if min(choices) < 1 or len(distances) < 2 * min(choices):
        raise ValueError(f"{len(distances)} {name} distances are too few for {n or 1} Gaussians")
    if np.ptp(distances) == 0:
        raise ValueError(f"all {name} distances are equal: springs need frames of a thermal run")
    fits, values = [], []
    for k in choices:
        # the smallest variance only keeps a Gaussian on few equal distances finite
        mixture = GaussianMixture(k, reg_covar=1e-8, n_init=3, random_state=seed)
        mixture.fit(distances[:, None])
        if k > choices[0] and mixture.covariances_.min() < floor:
            break  # too many: Gaussians collapse onto single distances
        fits.append(mixture)
        values.append(bic(mixture, distances, n_structures))
        if values[-3:] == sorted(values[-3:]) and len(values) > 2:
            break  # it has risen twice: past the minimum
    return fits[int(np.argmin(values))]
