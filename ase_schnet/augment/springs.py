"""Spring constants from a thermal run: k = kB T / σ² of every peak of every pair's distances.

In a harmonic trough at temperature T a distance is Gaussian with variance kB T / k. A pair of elements has
several such peaks (bonded, next neighbours, ...), so its distances are fitted by a mixture of Gaussians.
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

KCAL_PER_MOL = units.kcal / units.mol
MAX_COMPONENTS = 8
#: Fewer do not tell a peak from chance.
STRUCTURES_PER_COMPONENT = 25
#: eV/Å². N≡N, as stiff as bonds get, has 143: a distance that moves less has not been shaken at all.
STIFFEST = 200.0


@dataclass(frozen=True)
class PairSprings:
    """The C Gaussians of one element pair's distances, by rising mean: (C,) arrays, Å and eV/Å²."""

    means_Ang: NDArray
    sigmas_Ang: NDArray
    weights: NDArray
    k_eV_per_Ang2: NDArray

    def nearest(self, distances: NDArray) -> NDArray:
        """K of the Gaussian whose mean is nearest to each distance, eV/Å²: the paper's choice."""
        apart = np.abs(np.asarray(distances)[..., None] - self.means_Ang)
        return self.k_eV_per_Ang2[apart.argmin(axis=-1)]

    def weighted(self, distances: NDArray) -> NDArray:
        """K averaged over the Gaussians by their responsibilities for each distance, eV/Å²."""
        z = (np.asarray(distances)[..., None] - self.means_Ang) / self.sigmas_Ang
        logs = np.log(self.weights / self.sigmas_Ang) - 0.5 * z**2  # up to a constant
        shares = np.exp(logs - logs.max(axis=-1, keepdims=True))
        return (shares * self.k_eV_per_Ang2).sum(axis=-1) / shares.sum(axis=-1)


@dataclass(frozen=True)
class Springs:
    """Springs of all element pairs, by name ("H-O"), at the temperature they were measured at."""

    temperature_K: float
    pairs: dict[str, PairSprings]

    def table(self) -> str:
        """One line per Gaussian, in the paper's unit too."""
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
        """Plain types, for the card."""
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
        Of that run.
    n_components
        Gaussians by pair name, such as {"H-O": 4}; of pairs that it does not name, the number with the lowest
        :func:`bic`.
    seed
        Of the fits' starts.

    Raises
    ------
    ValueError
        For a temperature that is none, fewer than two structures or periodic ones, names of pairs that do not
        occur, fewer samples than Gaussians, and distances that do not move as in a thermal run (scans).
    """
    if not 0 < temperature_K < math.inf:
        raise ValueError(f"the temperature must be positive, got {temperature_K} K")
    if len(dataset) < 2:
        raise ValueError("one structure has no spread of distances: springs need a thermal run")
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
    """Distances in Å by element pair, each pair of atoms of each molecule once.

    Raises ValueError for periodic structures, whose distances never end, and for single atoms alone.
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
    """Bayesian information criterion with one independent distance per structure; lower is better.

    The fifteen H-H distances of one ethanol are no fifteen observations: counted as such, every skewness of a
    peak earns itself a Gaussian.
    """
    per_distance = mixture.score(distances[:, None])  # mean log-likelihood
    n_parameters = 3 * mixture.n_components - 1
    return -2 * n_structures * per_distance + n_parameters * math.log(n_structures)


def temperature_of(frames: Sequence[Atoms]) -> float | None:
    """Mean kinetic temperature in K of frames that carry momenta; None where some do not.

    Counted are 3N degrees of freedom, less those of an overall motion that has been removed.
    """
    if not frames or not all(atoms.has("momenta") for atoms in frames):
        return None
    n_dof = 0
    for atoms in frames:
        scale = np.abs(atoms.get_momenta()).max() or 1.0
        whole = (atoms.get_momenta().sum(axis=0), atoms.get_angular_momentum())
        n_dof += 3 * len(atoms) - 3 * sum(np.abs(p).max() < 1e-6 * scale for p in whole)
    energy = sum(atoms.get_kinetic_energy() for atoms in frames)
    return float(2 * energy / (n_dof * units.kB)) if energy > 0 < n_dof else None


def _fit(
    name: str, distances: NDArray, n_structures: int, n: int | None, floor: float, seed: int
) -> GaussianMixture:
    """The mixture asked for, or of those without a variance below `floor` (Å²) the one of lowest BIC."""
    most = min(MAX_COMPONENTS, max(1, n_structures // STRUCTURES_PER_COMPONENT))
    choices = range(1, most + 1) if n is None else [n]
    if min(choices) < 1 or len(distances) < 2 * min(choices):
        raise ValueError(f"{len(distances)} {name} distances do not make {n or 1} Gaussians")
    if np.ptp(distances) == 0:
        raise ValueError(f"all {name} distances are equal: springs need frames of a thermal run")
    fits, values = [], []
    for k in choices:
        # the smallest variance only keeps a Gaussian on few equal distances finite
        mixture = GaussianMixture(k, reg_covar=1e-8, n_init=3, random_state=seed)
        mixture.fit(distances[:, None])
        if k > choices[0] and mixture.covariances_.min() < floor:
            break  # Gaussians fall upon single distances: too many of them
        fits.append(mixture)
        values.append(bic(mixture, distances, n_structures))
        if values[-3:] == sorted(values[-3:]) and len(values) > 2:
            break  # it has risen twice: past the minimum
    return fits[int(np.argmin(values))]
