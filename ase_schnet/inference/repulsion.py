"""A safety net below the distances a model was trained on: there its atoms repel, as atoms do.

A network knows nothing of distances it never saw; its energy may fall by thousands of eV there, and a
collision ends in a hole. Adding a repulsion does not close the hole. So two things happen below the onset r₀
of an element pair, the shortest distance in its training:

- the network does not see the distance d but a softened one (:func:`softened_distances`), which ends 0.05 r₀
  below r₀: what the network says of the pair becomes a constant;
- the universal repulsion of screened nuclei is switched on (:func:`switched_zbl`), in full from r₀/2 inwards.

Energy, forces and their slopes are continuous (C²). Where every pair is beyond its onset nothing changes, not
a bit. All members get the same repulsion, so their spread is that of the network. Calculators, LAMMPS and the
command line have it unless it is switched off.

It cannot cure a network that already attracts *at* the onset, where nothing may change: the energy goes on
falling while the distance is softened, over less than 0.1 r₀, and no further. What all this was measured to
change is in benchmarks/repulsion.md.

J. F. Ziegler, J. P. Biersack, U. Littmark, The Stopping and Range of Ions in Solids, Pergamon 1985.
"""

from __future__ import annotations

import numpy as np
from ase.data import atomic_numbers, covalent_radii
from ase.units import Bohr, Hartree

from ase_schnet.bonds import pair_name
from ase_schnet.inference.loops import SOFTENED_OVER
from ase_schnet.inference.pair_checks import any_pair_within, pairs_within
from ase_schnet.inference.prediction import Prediction
from ase_schnet.modelfile import TrainedModel
from ase_schnet.neighbors import Pairs
from ase_schnet.schnet_config import MAX_ELEMENTS

REPULSIONS = ("zbl",)
#: What calculators, LAMMPS and the command line use where nobody says otherwise.
DEFAULT_REPULSION = "zbl"
#: The repulsion is complete at this part of the onset: the O-H bond of models/ethanol then follows PBE
#: where a collision leads (benchmarks/repulsion.md).
COMPLETE_AT = 0.5
#: Onset of two elements that training never saw together, over the sum of their covalent radii: the shortest
#: bonds of ethanol at 500 K (rMD17) are 0.91 to 0.94 of theirs.
UNSEEN_ONSET = 0.9
#: The universal screening function Σ c exp(−b d/a), a = 0.8854 a₀ / (Z_i^0.23 + Z_j^0.23).
SCREENING_C = np.array([0.18175, 0.50986, 0.28022, 0.02817])
SCREENING_B = np.array([3.19980, 0.94229, 0.40290, 0.20162])
SCREENING_LENGTH, SCREENING_POWER = 0.8854 * Bohr, 0.23


def onsets(model: TrainedModel) -> dict[str, float]:
    """Return the distance in Å below which each pair of the model's elements repels, by name ("H-O")."""
    found, known = {}, model.known_ranges
    for k, a in enumerate(model.elements):
        for b in model.elements[k:]:
            name = pair_name(a, b)
            if name in known:
                found[name] = known[name][0][0]
            else:
                found[name] = UNSEEN_ONSET * float(covalent_radii[a] + covalent_radii[b])
            found[name] = min(found[name], model.config["cutoff"])  # what is beyond has no pairs
    return found


class Repulsion:
    """Add a repulsion below the trained distances of one model.

    Parameters
    ----------
    kind
        "zbl".
    model
        The ensemble, for its elements and trained distances.

    Attributes
    ----------
    onset
        (100, 100), Å, by atomic numbers; zero for elements that the model does not know.
    below
        (100, 100, 1, 2), Å²: the squared distances below the onset, as `any_pair_within` reads them.
    """

    def __init__(self, kind: str, model: TrainedModel):
        if kind not in REPULSIONS:
            raise ValueError(f"repulsion is 'zbl' or None, got {kind!r}")
        self.kind = kind
        self.onset = np.zeros((MAX_ELEMENTS, MAX_ELEMENTS))
        for name, distance in onsets(model).items():
            a, b = (atomic_numbers[symbol] for symbol in name.split("-"))
            self.onset[a, b] = self.onset[b, a] = distance
        self.below = np.zeros((MAX_ELEMENTS, MAX_ELEMENTS, 1, 2))  # Å²
        self.below[..., 0, 0] = np.where(self.onset > 0, -1.0, 0.0)  # two atoms in one place too
        self.below[..., 0, 1] = self.onset**2
        self._largest = float(self.below.max())

    def onset_of(self, numbers: np.ndarray, pairs: Pairs) -> np.ndarray:
        """Return the onset of each pair, (P,) in Å."""
        numbers = np.asarray(numbers)
        return self.onset[numbers[pairs.idx_i], numbers[pairs.idx_j]]

    def acts_on(self, numbers: np.ndarray, positions: np.ndarray, pairs: Pairs) -> bool:
        """Return whether a pair is nearer than its onset."""
        return any_pair_within(*pairs, numbers, positions, self.below)

    def pairs_below(self, numbers: np.ndarray, positions: np.ndarray, pairs: Pairs) -> np.ndarray:
        """Return the indices of the pairs nearer than their onset, int64."""
        return pairs_within(*pairs, numbers, positions, self.below, self._largest)

    def add_to(
        self, prediction: Prediction, numbers: np.ndarray, positions: np.ndarray, pairs: Pairs
    ) -> None:
        """Add energy (eV), forces and virial of every pair below its onset to all members, in place.

        Half of a pair's energy and virial belongs to each of its atoms. What belongs to ghosts, the atoms
        beyond those of `prediction`, is left to the processes that own them.
        """
        numbers, positions = np.asarray(numbers), np.asarray(positions)
        close = self.pairs_below(numbers, positions, pairs)
        if not len(close):
            return
        few = Pairs(*(part[close] for part in pairs))
        i, j, vectors = few.idx_i, few.idx_j, few.vectors(positions)
        d, onset = np.linalg.norm(vectors, axis=1), self.onset[numbers[i], numbers[j]]
        energy, slope = switched_zbl(d, numbers[i], numbers[j], onset)
        on_i = (slope / d)[:, None] * vectors  # (P, 3) eV/Å
        forces = np.zeros(positions.shape)
        np.add.at(forces, i, on_i)
        np.subtract.at(forces, j, on_i)
        n_atoms = prediction.atomic_energies.shape[1]
        atomic = 0.5 * (np.bincount(i, energy, len(numbers)) + np.bincount(j, energy, len(numbers)))
        share = np.where(j < n_atoms, 1.0, 0.5)
        prediction.energies[:] += (share * energy).sum()
        prediction.atomic_energies[:] += atomic[:n_atoms]
        prediction.forces[:] += forces[:n_atoms]
        prediction.virials[:] -= (share[:, None] * on_i).T @ vectors


def softened_distances(d: np.ndarray, onset: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the distances (Å) at which the network sees pairs at d, and their derivatives by d, (P,) all.

    This is :func:`loops.softened_distance` for arrays.
    """
    w = SOFTENED_OVER * onset
    u = np.clip((onset - d) / w, 0.0, 1.0)
    seen = onset - w * u * (1.0 - u * u * (1.0 - 0.5 * u))
    return np.where(d < onset, seen, d), 1.0 - u * u * (3.0 - 2.0 * u)


def switched_zbl(
    d: np.ndarray, z_i: np.ndarray, z_j: np.ndarray, onset: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the energy (eV) of pairs below their onset and its slope (eV/Å); all arguments (P,)."""
    energy, slope = zbl(d, z_i, z_j)
    width = (1.0 - COMPLETE_AT) * onset
    u = np.clip((onset - d) / width, 0.0, 1.0)
    on = u**3 * (10.0 - 15.0 * u + 6.0 * u * u)
    on_slope = -30.0 * (u * (1.0 - u)) ** 2 / width
    return on * energy, on * slope + on_slope * energy


def zbl(d: np.ndarray, z_i: np.ndarray, z_j: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the energy (eV) of screened nuclei at distances d (Å) and its slope (eV/Å), (P,) both."""
    length = SCREENING_LENGTH / (z_i**SCREENING_POWER + z_j**SCREENING_POWER)
    terms = SCREENING_C * np.exp(-np.multiply.outer(d / length, SCREENING_B))  # (P, 4)
    bare = Hartree * Bohr * z_i * z_j / d
    screening = terms.sum(axis=-1)
    return bare * screening, -bare * (screening / d + terms @ SCREENING_B / length)
