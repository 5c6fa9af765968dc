"""Differences between a training that is to be resumed and the one that was begun, by names of arguments."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from ase_schnet.data.dataset import Dataset
from ase_schnet.schnet_config import SchNetConfig
from ase_schnet.trained_model import UNSPECIFIED

ELECTRONS = ("charge", "multiplicity")
LOSS = {
    "kind": "loss",
    "energy": "energy_weight",
    "forces": "forces_weight",
    "stress": "stress_weight",
}
ARRAYS = {
    "Z": "elements",
    "R": "positions",
    "cells": "cells",
    "pbc": "periodic boundaries",
    "E": "energies",
    "F": "forces",
    "stress": "stresses",
    "dipole": "dipoles",
    "polarizability": "polarizabilities",
    "weight": "weights",
    "force_mask": "masks of forces",
}


def require_same(
    directory: Path,
    then: dict,
    now: dict,
    data: Dataset,
    begun_with: Callable[[], Dataset] | None = None,
) -> None:
    """Raise ValueError if two trainings differ; it names all differences and the cure.

    Parameters
    ----------
    directory
        Where the training was begun, for the message.
    then, now
        "recipe" (with "config"), "data" (the fingerprint) and "provenance" of both.
    data
        The present structures.
    begun_with
        Reads those that the training was begun with; None where it is finished and they are gone.
    """
    recipe = dict(now["recipe"])
    for name in ELECTRONS:
        if name not in then["recipe"]:  # a card of an earlier version
            recipe.pop(name, None)
    changed = []
    if then["data"] != now["data"]:
        before = None if begun_with is None else begun_with()
        changed += _changed_data(before, data, then["provenance"], now["provenance"])
        recipe["kept_out"] = then["recipe"].get("kept_out")  # a consequence
    changed += changed_settings(then["recipe"], recipe)
    changed += _changed_split(then["provenance"].get("split"), now["provenance"].get("split"))
    if not changed and then["recipe"].get("folds") != recipe["folds"]:
        changed = ["another division into folds"]
    if not changed:
        return
    what = f"{directory} holds a training with {'; '.join(changed)}"
    if command := then["provenance"].get("command"):
        what += f" (begun by: {command})"
    if begun_with is None:
        raise ValueError(
            f"{what}. It is finished, and cannot be trained longer because its learning rate has "
            "reached zero: train into another directory"
        )
    raise ValueError(f"{what}: resume with what it was begun with, or train into another directory")


def require_same_fit(path: Path, then: dict, now: dict) -> None:
    """Raise ValueError if the `inputs` of a checkpoint are not those of the fit that is to go on from it."""
    then, now = ({**inputs, "loss": inputs.get("weights", {})} for inputs in (then, now))
    changed = changed_settings(then, now)
    parts = ("training", "validation")
    changed += [f"other {part} structures" for part in parts if then.get(part) != now[part]]
    if changed:
        raise ValueError(
            f"{path} holds a fit with {'; '.join(changed)}: resume with what it was begun with, or "
            "train into another directory"
        )


def changed_settings(then: dict, now: dict) -> list[str]:
    """Return an entry such as "epochs=500, not epochs=1000" for each setting in which two recipes differ.

    Parameters
    ----------
    then, now
        As `Recipe.to_dict` returns them, with "config"; entries may be missing.
    """
    before, after = _flat(then), _flat(now)
    changed = [
        f"{_said(name, before.get(name))}, not {_said(name, value)}"
        for name, value in after.items()
        if before.get(name) != value
    ]
    changed += [f"{_said(k, v)}, not without" for k, v in before.items() if k not in after]
    return changed


def _changed_split(then: dict | None, now: dict | None) -> list[str]:
    """Return the difference in the kind of folds, if the command line wrote it down."""
    if not then or not now or then["contiguous"] == now["contiguous"]:
        return []
    kinds = ("random folds", "contiguous folds")
    return [f"{kinds[then['contiguous']]}, not {kinds[now['contiguous']]}"]


def _changed_data(then: Dataset | None, now: Dataset, before: dict, after: dict) -> list[str]:
    """Return which files differ, and how the structures do, which are known to differ.

    Parameters
    ----------
    then, now
        The structures; then is None if they are gone.
    before, after
        The provenances, with "files" if the command line wrote them.
    """
    files, files_now = ({f["name"]: f for f in p.get("files", ())} for p in (before, after))
    found = []
    if files and files_now and list(files) != list(files_now):
        found.append(f"{', '.join(files)}, not {', '.join(files_now)}")
    for name in files.keys() & files_now.keys():
        old, new = files[name], files_now[name]
        if old["sha256"] != new["sha256"]:
            found.append(f"another {name} than it is now")
        elif old["units"] != new["units"]:
            found.append(f"units={old['units']!r} of {name}, not units={new['units']!r}")
    if then is not None and not any("units=" in line for line in found):
        found += _changed_arrays(then, now)
    return found or ["other data"]


def _changed_arrays(then: Dataset, now: Dataset) -> list[str]:
    if len(then) != len(now):
        return [f"{len(then)} structures, not {len(now)}"]
    for name, word in ARRAYS.items():
        old, new = getattr(then, name), getattr(now, name)
        if old is None and new is None:
            continue
        if old is None or new is None:
            return [f"{word}, not without" if new is None else f"no {word}, which there are now"]
        if old.shape != new.shape or not np.array_equal(old, new, equal_nan=old.dtype.kind == "f"):
            return [f"other {word}{_first(old, new, now)}"]
    return []


def _first(old: np.ndarray, new: np.ndarray, dataset: Dataset) -> str:
    """Return the first structure that differs, in words."""
    if old.shape != new.shape:
        return ""
    both_unknown = (old != old) & (new != new)  # NaN: a structure without the label
    differs = ((old != new) & ~both_unknown).reshape(len(new), -1).any(axis=1)
    row = int(differs.argmax())
    s = row if len(new) == len(dataset) else int(np.searchsorted(dataset.ptr, row, "right")) - 1
    return f" in structure {s}"


def _flat(recipe: dict) -> dict:
    """Return the settings by the names of their arguments."""
    config = recipe.get("config")
    if config:  # of an earlier version: what it does not say had one value only
        config = SchNetConfig.from_dict(config).to_dict()
    flat = {**(config or {}), **recipe.get("settings", {})}
    flat |= {LOSS[name]: value for name, value in recipe.get("loss", {}).items()}
    flat |= {name: recipe[name] for name in ELECTRONS if name in recipe}
    if "folds" in recipe:
        flat["n_folds"] = len(recipe["folds"])
    if "kept_out" in recipe:
        flat["kept_out"] = len(recipe["kept_out"])
    flat["level_of_theory"] = recipe.get("level_of_theory", UNSPECIFIED)
    flat["baseline"] = recipe.get("baseline")
    if "start" in recipe:
        names = {"model": "start_from", "sha256": "sha256 of the model", "freeze": "freeze"}
        flat |= {said: recipe["start"].get(name) for name, said in names.items()}
        flat["start_from"] = Path(
            str(flat["start_from"])
        ).name  # its bytes are compared by the sha256
    if "augmentation" in recipe:
        flat |= {f"augment {name}": value for name, value in recipe["augmentation"].items()}
    return flat


def _said(name: str, value: object) -> str:
    if name == "kept_out":
        return f"{value} structures kept out"
    return f"{name}={value:g}" if isinstance(value, float) else f"{name}={value!r}"
