"""A trained ensemble as plain arrays: what a model directory holds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np
from ase.data import atomic_numbers, chemical_symbols

from ase_schnet.bonds import pair_name
from ase_schnet.model_directories import ModelFileError
from ase_schnet.schnet_config import SchNetConfig
from ase_schnet.uncertainty.bars import overconfidence

BASELINE = "baseline"  # required of readers: to add the method that the model is the difference to
UNSPECIFIED = "unspecified"  # level of theory of data that do not say it


@dataclass(frozen=True, eq=False)
class TrainedModel:
    """Hold an ensemble of M SchNets as plain arrays.

    Attributes
    ----------
    config
        Shape of the network, as :meth:`SchNetConfig.to_dict` gives it.
    elements
        Sorted atomic numbers that it was trained on.
    energy_shift
        (M, 100), eV per atom of each atomic number.
    scale
        (M,), eV: factor on the unit-free energies of the network.
    weights
        Tensors by name, (M, ...) float32.
    pbc
        Whether it was trained on periodic structures.
    distance_ranges
        Distances of pairs in the training of its level of theory, in Å: pair name ("H-O") ->
        [[low, high], ...].
    card
        What else is known, in JSON types: ``charge``, ``multiplicity``, ``calibration``, ``provenance``
        (where a converted model is from), ``training``, ``folds``, ``self_check`` and more.
    path
        Directory that it was read from.
    checksum
        sha256 of the card.
    level_of_theory
        Whose energies it predicts, for example "PBE/def2-SVP".
    trained_on
        All that it was trained on: level of theory -> ``distance_ranges_Ang``, ``n_structures``, ``pieces``
        (see `known_pieces`) and what else is known of the structures. A model that was trained at several
        levels has several entries; ``distance_ranges`` is that of ``level_of_theory``.
    element_scale
        (M, 100), factor on ``scale`` for each atomic number; None: 1 for all.
    baseline
        Reference method whose energies must be added, such as "gfn2-xtb": the model holds the difference to
        it. None for a model of whole energies.
    """

    config: dict
    elements: list[int]
    energy_shift: np.ndarray
    scale: np.ndarray
    weights: dict[str, np.ndarray]
    pbc: bool
    distance_ranges: dict[str, list[list[float]]]
    card: dict = field(default_factory=dict)
    path: str = ""
    checksum: str = ""
    level_of_theory: str = UNSPECIFIED
    trained_on: dict[str, dict] = field(default_factory=dict)
    element_scale: np.ndarray | None = None
    baseline: str | None = None

    @property
    def checksums(self) -> tuple[str, ...]:
        """Return `checksum`, and those of before the card, and nothing else, was written anew."""
        converted = self.card.get("provenance", {}).get("converted_from", {}).get("sha256")
        return self.checksum, *self.card.get("earlier_sha256", ()), *filter(None, [converted])

    @property
    def n_members(self) -> int:
        """Number of members M."""
        return len(self.scale)

    @property
    def overconfidence(self) -> float:
        """How many times larger errors are than the disagreement of the members has them; at least 1.

        By the forces of structures that no member saw; 1 also where the card does not know. See
        :func:`~ase_schnet.uncertainty.bars.overconfidence`.
        """
        forces = self.card.get("calibration", {}).get("forces", {})
        return overconfidence(float(forces.get("scale", 1.0)), self.n_members)

    @property
    def symbols(self) -> list[str]:
        """Chemical symbols of the elements that it was trained on."""
        return [chemical_symbols[z] for z in self.elements]

    @property
    def network(self) -> SchNetConfig:
        """Shape of the network."""
        return SchNetConfig.from_dict(self.config)

    @property
    def other_levels(self) -> list[str]:
        """Return the levels of theory, besides its own, that it was trained on."""
        return [level for level in self.trained_on if level != self.level_of_theory]

    def member(self, k: int) -> TrainedModel:
        """Return member `k`, counted from 0, as a model of its own; its arrays are views.

        Its card has no ``self_check``: the forces stored there are those of all members. IndexError for a
        member that there is not; -1 is the last one.
        """
        k = range(self.n_members)[k]
        only = slice(k, k + 1)
        factors = self.element_scale
        return replace(
            self,
            energy_shift=self.energy_shift[only],
            scale=self.scale[only],
            weights={name: tensor[only] for name, tensor in self.weights.items()},
            element_scale=None if factors is None else factors[only],
            card={name: value for name, value in self.card.items() if name != "self_check"},
        )

    def require_whole(self) -> None:
        """Raise ModelFileError if the model holds the difference to a baseline and not whole energies."""
        if self.baseline is not None:
            raise ModelFileError(
                f"{self.path} holds the difference of {self.level_of_theory} to {self.baseline}, not whole "
                "energies: use DeltaCalculator, which adds that method at every step"
            )

    @property
    def known_ranges(self) -> dict[str, list[list[float]]]:
        """Return the distances of pairs in the training at all levels of theory, as in `distance_ranges`."""
        return _joined(
            self.distance_ranges,
            *(level["distance_ranges_Ang"] for level in self.trained_on.values()),
        )

    @property
    def known_pieces(self) -> set[str]:
        """Return formulas of pieces farther apart than the cutoff, and of single atoms, in the training.

        Of all levels of theory, in Hill's order; none where the card does not know.
        """
        return {
            formula for known in self.trained_on.values() for formula in known.get("pieces", ())
        }

    def require_elements(self, numbers: Iterable[int]) -> None:
        """Raise ValueError naming the elements among `numbers` that the model was not trained on."""
        odd = sorted({chemical_symbols[z] for z in set(numbers) - set(self.elements)})
        if odd:
            raise ValueError(
                f"model {self.path} was not trained on {', '.join(odd)}; "
                f"it knows {', '.join(self.symbols)}"
            )

    def trained_range(self, symbol_i: str, symbol_j: str, distance: float) -> tuple | None:
        """Return the interval (low, high) in Å of trained i–j distances that holds `distance`, or None."""
        return _interval(self.distance_ranges, symbol_i, symbol_j, distance)

    def known_range(self, symbol_i: str, symbol_j: str, distance: float) -> tuple | None:
        """Return what `trained_range` does, of the training at all levels of theory."""
        return _interval(self.known_ranges, symbol_i, symbol_j, distance)


def _interval(
    ranges: dict[str, list[list[float]]], symbol_i: str, symbol_j: str, distance: float
) -> tuple[float, float] | None:
    name = pair_name(atomic_numbers[symbol_i], atomic_numbers[symbol_j])
    found = (pair for pair in ranges.get(name, []) if pair[0] <= distance <= pair[1])
    return next(((low, high) for low, high in found), None)


def _joined(*ranges: dict[str, list[list[float]]]) -> dict[str, list[list[float]]]:
    """Return the union of distance ranges, pair name -> [[low, high], ...] in Å, sorted and disjoint."""
    joined: dict[str, list[list[float]]] = {}
    for name in {name for each in ranges for name in each}:
        intervals = sorted(list(i) for each in ranges for i in each.get(name, []))
        union = joined[name] = [intervals[0]]
        for low, high in intervals[1:]:
            if low <= union[-1][1]:
                union[-1] = [union[-1][0], max(high, union[-1][1])]
            else:
                union.append([low, high])
    return joined
