"""Augmentation as one setting of a training: moves, labels and weight."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, partial

from ase import Atoms
from ase.calculators.calculator import BaseCalculator
from numpy.typing import NDArray

from ase_schnet.augment.frames import Labelling, moved_frames
from ase_schnet.augment.labels import first_order, nearest_spring, weighted_spring
from ase_schnet.augment.moves import Move, RandomMoves, Stretches
from ase_schnet.augment.relabel import delta_label
from ase_schnet.augment.springs import Springs, fit_springs
from ase_schnet.data.dataset import Dataset
from ase_schnet.labelling.methods import whole_electrons
from ase_schnet.labelling.reference import read_reference

SPRING_RULES = {
    "literal": nearest_spring,
    "weighted": weighted_spring,
    "first-order": first_order,
}
RULES = (*SPRING_RULES, "delta")
_MOVES = {"n": "n_structures", "atoms": "n_atoms", "epsilon": "epsilon_Ang"}
_WORDS = {"temperature": float, "n": int, "atoms": int, "epsilon": float, "weight": float}
_WORDS |= {"seed": int, "stretch": str, "ensemble": str}


@dataclass(frozen=True)
class Augmentation:
    """Make structures anew for each member, from its training part: springs, moves and labels.

    Attributes
    ----------
    rule
        "literal", "weighted" or "first-order" springs (see `labels`), which need the temperature of the data;
        or "delta", labels by GFN2-xTB (see `relabel`; needs tblite).
    moves
        Random displacements or stretched bonds.
    temperature_K
        Temperature of the run that the data are from, K.
    weight
        Of each augmented structure in the loss.
    seed
        Of the moves and of the fits of springs.
    """

    rule: str
    moves: RandomMoves | Stretches = field(default_factory=RandomMoves)
    temperature_K: float | None = None
    weight: float = 1.0
    seed: int = 0

    def __post_init__(self):
        if self.rule not in RULES:
            raise ValueError(f"no rule {self.rule!r}: known are {', '.join(RULES)}")
        if self.rule in SPRING_RULES and self.temperature_K is None:
            raise ValueError(
                f"{self.rule} needs the temperature of the data, such as temperature=500"
            )
        if self.rule in SPRING_RULES and isinstance(self.moves, Stretches):
            raise ValueError(
                "springs are wrong where bonds break: for stretches use the delta rule"
            )

    def springs(self, dataset: Dataset) -> Springs | None:
        """Return springs fitted to `dataset`; None for a rule without springs."""
        if self.rule not in SPRING_RULES:
            return None
        return fit_springs(dataset, self.temperature_K, seed=self.seed)

    def frames(self, dataset: Dataset, springs: Springs | None = None) -> list[Atoms]:
        """Return augmented structures, labelled and marked, made from those of `dataset`.

        Parameters
        ----------
        dataset
            Structures with energies and forces.
        springs
            What `springs(dataset)` returned; None: they are fitted.
        """
        springs = springs or self.springs(dataset)
        moves = self.moves(dataset, self.seed)
        return moved_frames(dataset, moves, labelling(self.rule, springs), self.rule, self.weight)

    def __call__(self, dataset: Dataset, training: NDArray, fold: int = 0) -> Dataset:
        """Return augmented structures made from those with the indices `training`, alike for every fold."""
        return Dataset.from_atoms(self.frames(dataset.subset(training)), source=f"{self.rule} rule")

    def to_dict(self) -> dict:
        """Return plain types, for the card."""
        return {
            "rule": self.rule,
            **self.moves.to_dict(),
            "temperature_K": self.temperature_K,
            "weight": self.weight,
            "seed": self.seed,
        }


def read_augmentation(text: str, calculator: Callable[[str], BaseCalculator]) -> Augmentation:
    """Return the setting for a text such as "first-order, temperature=500, epsilon=0.2, weight=0.1".

    Parameters
    ----------
    text
        First the rule, then settings that differ from the defaults: temperature (K), n (structures), atoms,
        epsilon (Å), weight, seed; and the word stretch for stretched bonds instead of random displacements,
        with ensemble (a model) to choose those that it is least certain of.
    calculator
        Opens the model of `ensemble`.

    Raises
    ------
    ValueError
        For anything else.
    """
    rule, *rest = [part.strip() for part in text.split(",")]
    given = {}
    for key, sign, value in (part.partition("=") for part in rest):
        if key.strip() not in _WORDS or bool(sign) == (key.strip() == "stretch"):
            known = ", ".join(f"{k}=" for k in _WORDS if k != "stretch")
            raise ValueError(f"{key + sign + value!r} is not known; known are {known} and stretch")
        try:
            given[key.strip()] = _WORDS[key.strip()](value)
        except ValueError:
            raise ValueError(f"{key.strip()}={value!r} is not a number") from None
    stretch = given.pop("stretch", None) is not None
    names = {"n": "n_structures", "ensemble": "ensemble"} if stretch else _MOVES
    if "ensemble" in given and not stretch:
        raise ValueError("ensemble= chooses among stretches: add stretch")
    if "ensemble" in given:
        given["ensemble"] = calculator(given["ensemble"])
    if stretch and given.keys() & {"atoms", "epsilon"}:
        raise ValueError("atoms= and epsilon= are for random displacements, not for stretch")
    moves = {names[k]: given.pop(k) for k in names.keys() & given.keys()}
    if "temperature" in given:
        given["temperature_K"] = given.pop("temperature")
    return Augmentation(rule, (Stretches if stretch else RandomMoves)(**moves), **given)


def labelling(rule: str, springs: Springs | None) -> Labelling:
    """Return the labelling of a rule. Raises ValueError for "delta" where tblite is not installed."""
    if rule in SPRING_RULES:
        return partial(SPRING_RULES[rule], springs=springs)
    return partial(_delta_label, calculator=cache(read_reference("gfn2-xtb").calculator))


def _delta_label(
    atoms: Atoms, move: Move, calculator: Callable[..., BaseCalculator]
) -> tuple[float, NDArray]:
    """Return `delta_label` of a structure by the calculator of its charge and multiplicity."""
    return delta_label(atoms, move, calculator(*whole_electrons(atoms)))
