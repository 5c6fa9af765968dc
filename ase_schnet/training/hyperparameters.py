"""Network, loss and fit as one flat table of names, and as a file: what a search varies and `train` reads."""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from ase_schnet.runtime.files import write_whole
from ase_schnet.schnet_config import PRESETS, SchNetConfig
from ase_schnet.training.changes import LOSS
from ase_schnet.training.loss_weights import LossWeights
from ase_schnet.training.recipe import Recipe
from ase_schnet.training.settings import FitSettings

NETWORK = tuple(f.name for f in fields(SchNetConfig))
FIT = tuple(f.name for f in fields(FitSettings))
#: Names of the fields of `LossWeights` by their names here.
WEIGHTS = {said: name for name, said in LOSS.items()}
NAMES = (*NETWORK, *FIT, *WEIGHTS)


@dataclass(frozen=True)
class Hyperparameters:
    """Hold network, loss and fit of a training: all of a recipe but the data, the folds and the device.

    Attributes
    ----------
    config
        Shape of the network.
    weights
        The loss and the weights of its terms.
    settings
        How each member is fitted.
    """

    config: SchNetConfig = PRESETS["fast"]
    weights: LossWeights = field(default_factory=LossWeights)
    settings: FitSettings = field(default_factory=FitSettings)

    @classmethod
    def of(cls, recipe: Recipe) -> Hyperparameters:
        """Return those of a recipe."""
        return cls(recipe.config, recipe.weights, recipe.settings)

    @classmethod
    def read(cls, path: str | Path) -> Hyperparameters:
        """Read a file that `write` wrote; what it does not say is as in the preset "fast".

        Raises
        ------
        ValueError
            For a file that is no JSON object, for unknown names and for values that are not allowed.
        OSError
            If there is no such file.
        """
        try:
            return cls().with_values(read_object(path))
        except ValueError as error:
            raise ValueError(f"{path}: {str(error).removeprefix(f'{path}: ')}") from None

    def write(self, path: str | Path) -> None:
        """Write all values into a JSON file, for `read` and ``train --settings``. Raises CannotWrite."""
        write_whole(Path(path), (json.dumps(self.values(), indent=1) + "\n").encode())

    def values(self) -> dict[str, Any]:
        """Return all values by their names, in plain types."""
        loss = {said: getattr(self.weights, name) for said, name in WEIGHTS.items()}
        return {**self.config.to_dict(), **self.settings.to_dict(), **loss}

    def with_values(self, values: Mapping[str, Any]) -> Hyperparameters:
        """Return these with other values.

        Another loss without an `energy_weight` has the default weights of that loss.

        Parameters
        ----------
        values
            Values by the names in `NAMES`: those of the fields of `SchNetConfig` and `FitSettings`, and
            loss, energy_weight, forces_weight and stress_weight.

        Raises
        ------
        ValueError
            For unknown names and for values that are not allowed; the message begins with the name.
        """
        for name in values:
            require_known(name)
        config = replace(self.config, **{k: v for k, v in values.items() if k in NETWORK})
        fit = {k: _of_type(k, v) for k, v in values.items() if k in FIT}
        loss = {WEIGHTS[k]: _of_type(k, v) for k, v in values.items() if k in WEIGHTS}
        if loss.get("kind", self.weights.kind) != self.weights.kind:
            loss = {"energy": None, **loss}
        return Hyperparameters(config, replace(self.weights, **loss), replace(self.settings, **fit))

    def applied_to(self, recipe: Recipe) -> Recipe:
        """Return the recipe with these in place of its own.

        Raises
        ------
        ValueError
            If the recipe starts from a model whose network is another one.
        """
        return replace(recipe, config=self.config, weights=self.weights, settings=self.settings)


def require_known(name: str, known: tuple[str, ...] = NAMES) -> None:
    """Raise ValueError for a name that no hyperparameter has, with the one that is most similar."""
    if name in known:
        return
    like = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {like[0]!r}?" if like else f"known are {', '.join(known)}"
    raise ValueError(f"there is no hyperparameter {name!r}; {hint}")


def read_object(path: str | Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises
    ------
    ValueError
        For a file that is none, or says a name twice.
    OSError
        If there is no such file.
    """
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"), object_pairs_hook=_once)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not JSON: {error}") from None
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    if not isinstance(found, dict):
        raise ValueError(f'{path} must hold a JSON object, {{"name": value, ...}}')
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"{twice!r} stands there twice")
    return dict(pairs)


def _of_type(name: str, value: Any) -> Any:
    """Return a value of the fit or the loss; ValueError if it is not of the type of its field."""
    default = getattr(FitSettings, name) if name in FIT else getattr(LossWeights, WEIGHTS[name])
    if value is None and default is None:
        return value
    if isinstance(default, str):
        if isinstance(value, str):
            return value
        raise ValueError(f"{name!r} must be a word, got {value!r}")
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value):
        raise ValueError(f"{name!r} must be a number, got {value!r}")
    if isinstance(default, int):
        if value != int(value):
            raise ValueError(f"{name!r} must be a whole number, got {value!r}")
        return int(value)
    return float(value)
