"""What a search varies: for each hyperparameter a range or a list of choices, or one fixed value."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ase_schnet.training.hyperparameters import (
    NETWORK,
    Hyperparameters,
    read_object,
    require_known,
)
from ase_schnet.training.recipe import Recipe
from ase_schnet.tuning.ranges import (
    Range,
    checked_choices,
    checked_range,
    is_whole,
    range_of,
    require_searchable,
)

#: The default space: factors on what is to be trained, or values beside it.
AROUND = {"learning_rate": 5.0, "n_rbf": 2.0, "cutoff": math.sqrt(2.0), "gamma": 4.0}
WIDTHS, BATCHES = (0.5, 1.0, 1.5, 2.0), (0.5, 1.0, 2.0)
WEIGHT_DECAYS, EMA_DECAYS = (0.0, 0.01, 0.1), (0.97, 0.99, 0.997)
LOWER_ENERGY_WEIGHT, HIGHER_ENERGY_WEIGHT = 0.1, 30.0


@dataclass(frozen=True)
class SearchSpace:
    """Hold what a search varies and what it holds fixed; all else is as in the recipe.

    Attributes
    ----------
    varied
        Ranges, or tuples of choices, by names of hyperparameters.
    fixed
        Values by names of hyperparameters.

    Raises
    ------
    ValueError
        If nothing is varied; and for unknown names, empty ranges, and values of a wrong type, with the name.
    """

    varied: Mapping[str, Range | tuple]
    fixed: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self):
        varied = {}
        for name, values in self.varied.items():
            require_searchable(name)
            check = checked_range if isinstance(values, Range) else checked_choices
            varied[name] = check(name, values)
        object.__setattr__(self, "varied", varied)
        for name in self.fixed:
            require_known(name)
        both = sorted(set(self.varied) & set(self.fixed))
        if both:
            raise ValueError(f"{both[0]!r} is varied and fixed: choose one")
        if not self.varied:
            raise ValueError("the space varies nothing: give at least one range or list of choices")

    @classmethod
    def from_dict(cls, space: Mapping[str, Any]) -> SearchSpace:
        """Return the space that a JSON object says.

        Parameters
        ----------
        space
            By names: ``{"low": 1e-4, "high": 1e-2, "log": true}``, a list of choices, or one fixed value.

        Raises
        ------
        ValueError
            As the class; the message begins with the name.
        """
        varied, fixed = {}, {}
        for name, said in space.items():
            require_known(name)
            if isinstance(said, Mapping):
                varied[name] = range_of(name, said)
            elif isinstance(said, (list, tuple)):
                varied[name] = tuple(said)
            else:
                fixed[name] = said
        return cls(varied, fixed)

    @classmethod
    def read(cls, path: str | Path) -> SearchSpace:
        """Read a JSON file, as `from_dict` takes it. Raises ValueError that names the file, OSError."""
        found = read_object(path)
        try:
            return cls.from_dict(found)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None

    @classmethod
    def around(cls, recipe: Recipe) -> SearchSpace:
        """Return the default space: a factor of about two around what the recipe says, or more.

        Of a training that starts from a model the network is not varied, and of Gaussians that are given one
        by one neither number nor width.
        """
        base = Hyperparameters.of(recipe).values()
        near = {
            name: Range(base[name] / factor, base[name] * factor, log=True)
            for name, factor in AROUND.items()
        }
        near["cutoff"] = Range(near["cutoff"].low, near["cutoff"].high)
        near["n_rbf"] = Range(max(1, round(base["n_rbf"] / 2)), 2 * base["n_rbf"], log=True)
        blocks = base["n_interactions"]
        space: dict[str, Range | tuple] = {
            "learning_rate": near["learning_rate"],
            "batch_size": _whole_multiples(base["batch_size"], BATCHES),
            "weight_decay": tuple(sorted({*WEIGHT_DECAYS, base["weight_decay"]})),
            "ema_decay": tuple(sorted({*EMA_DECAYS, base["ema_decay"]})),
            "n_atom_basis": _whole_multiples(base["n_atom_basis"], WIDTHS),
            "n_filters": _whole_multiples(base["n_filters"], WIDTHS),
            "n_interactions": Range(max(1, blocks - 1), blocks + 1),
            "n_rbf": near["n_rbf"],
            "cutoff": near["cutoff"],
            "gamma": near["gamma"],
            "activation": ("ssp", "silu"),
        }
        if base["energy_weight"] > 0 and base["forces_weight"] > 0:
            weight = base["energy_weight"]
            ends = LOWER_ENERGY_WEIGHT * weight, HIGHER_ENERGY_WEIGHT * weight
            space["energy_weight"] = Range(*ends, log=True)
        left_out = NETWORK if recipe.start is not None else ()
        if base["centres"] is not None or base["widths"] is not None:
            left_out = (*left_out, "n_rbf", "gamma")
        return cls({name: values for name, values in space.items() if name not in left_out})

    def only(self, names: Collection[str]) -> SearchSpace:
        """Return the space that varies these alone. Raises ValueError for one that is not varied here."""
        for name in names:
            require_searchable(name)
            if name not in self.varied:
                raise ValueError(
                    f"{name!r} has no range here: give one in a file of the space; there are ranges for "
                    f"{', '.join(self.varied)}"
                )
        return SearchSpace({k: v for k, v in self.varied.items() if k in names}, self.fixed)

    def without(self, names: Collection[str]) -> SearchSpace:
        """Return the space that does not vary these."""
        return SearchSpace({k: v for k, v in self.varied.items() if k not in names}, self.fixed)

    def base(self, recipe: Recipe) -> Hyperparameters:
        """Return the hyperparameters of a recipe with what is fixed here."""
        try:
            return Hyperparameters.of(recipe).with_values(self.fixed)
        except ValueError as error:
            raise ValueError(f"the space: {error}") from None

    def require_allowed(self, recipe: Recipe) -> None:
        """Raise ValueError if a recipe with an end of a range, or with a choice, is no recipe.

        The message begins with the name. A weight of zero is refused too: a trial that does not learn
        energies cannot be compared with one that does.
        """
        base = self.base(recipe)
        for name, values in self.varied.items():
            for value in (values.low, values.high) if isinstance(values, Range) else values:
                try:
                    base.with_values({name: value}).applied_to(recipe)
                except ValueError as error:
                    raise ValueError(f"{name!r} cannot be {value!r}: {error}") from None
                if name.endswith("_weight") and not value:
                    raise ValueError(
                        f"{name!r} cannot be 0 in some trials: they would be judged by fewer errors"
                    )

    @property
    def size(self) -> float:
        """Number of different points; infinite if a range is of real numbers."""
        sizes = [
            (v.high - v.low + 1 if is_whole(name) else math.inf) if isinstance(v, Range) else len(v)
            for name, v in self.varied.items()
        ]
        return math.prod(sizes)

    def contains(self, values: Mapping[str, Any]) -> bool:
        """Return whether the space holds a point, given by at least the names that are varied."""
        for name, allowed in self.varied.items():
            value = values[name]
            if isinstance(allowed, Range):
                if not allowed.low <= value <= allowed.high:
                    return False
            elif value not in allowed:
                return False
        return True

    def draw(self, random: np.random.Generator) -> dict[str, Any]:
        """Return a point with each hyperparameter drawn by itself."""
        return {name: _drawn(name, values, random) for name, values in self.varied.items()}

    def to_dict(self) -> dict[str, Any]:
        """Return plain types, which `from_dict` reads."""
        said: dict[str, Any] = {}
        for name, values in self.varied.items():
            if isinstance(values, Range):
                said[name] = {"low": values.low, "high": values.high, "log": values.log}
            else:
                said[name] = list(values)
        return {**said, **self.fixed}

    def __str__(self) -> str:
        lines = [f"  {name:<15} {_in_words(values)}" for name, values in self.varied.items()]
        return "\n".join(lines + [f"  {name:<15} {v} (fixed)" for name, v in self.fixed.items()])


def _whole_multiples(value: int, factors: tuple[float, ...]) -> tuple[int, ...]:
    return tuple(sorted({value, *(max(1, round(value * factor)) for factor in factors)}))


def _in_words(values: Range | tuple) -> str:
    return str(values) if isinstance(values, Range) else " | ".join(map(str, values))


def _drawn(name: str, values: Range | tuple, random: np.random.Generator) -> Any:
    if not isinstance(values, Range):
        return values[random.integers(len(values))]
    if is_whole(name):
        return int(random.integers(int(values.low), int(values.high) + 1))
    return float(random.uniform(values.low, values.high))
