"""Calculators from a script of the user: ``FILE.py:NAME``."""

from __future__ import annotations

import inspect
import sys
from functools import cache
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import cast

from ase.calculators.calculator import BaseCalculator

from ase_schnet.structures.reading import no_such_file

EXAMPLE = "def NAME(charge=0, multiplicity=1): return ORCA(charge=charge, mult=multiplicity)"


def split_script(text: str) -> tuple[str, str] | None:
    """Return the absolute path and the name of ``FILE.py:NAME``; None for a text of another kind.

    Raises
    ------
    ValueError
        The name is missing.
    FileNotFoundError
        There is no such file.
    """
    path, colon, name = text.rpartition(":")
    if text.endswith(".py") or (path.endswith(".py") and not name):
        raise ValueError(
            f"{text!r}: say which name in the script returns the calculator, as in {text.rstrip(':')}:NAME"
        )
    if not colon or not path.endswith(".py"):
        return None
    if not Path(path).is_file():
        raise FileNotFoundError(no_such_file(Path(path)))
    return str(Path(path).absolute()), name.strip()


def found_in(path: str, name: str) -> tuple[object, bytes]:
    """Return what a script calls `name`, and the text of the script.

    Raises
    ------
    ValueError
        In one line: the script fails, has no such name, or it is neither a calculator nor can be called.
    """
    module = _loaded(path)
    if not hasattr(module, name):
        raise ValueError(
            f"{path} has no {name}; a function that returns an ASE calculator is wanted"
        )
    found = getattr(module, name)
    if not callable(found) and not _is_calculator(found):
        raise ValueError(
            f"{name} of {path} is of type {type(found).__name__}, not an ASE calculator or what returns one: "
            f"{EXAMPLE}"
        )
    return found, Path(path).read_bytes()


def called(path: str, name: str, charge: int, multiplicity: int | None) -> BaseCalculator:
    """Return the calculator that a name in a script is, or returns.

    Raises
    ------
    ValueError
        In one line: as :func:`found_in`; the call fails or does not return a calculator; or the structure has
        a charge, and what is called does not take one.
    """
    found, _ = found_in(path, name)
    taken = set() if _is_calculator(found) else _keywords(found)
    if charge and "charge" not in taken:
        raise ValueError(
            f"the structure has charge {charge:+d}, and {name} of {path} takes no charge: {EXAMPLE}"
        )
    if _is_calculator(found):
        return cast(BaseCalculator, found)
    given = {"charge": charge, "multiplicity": multiplicity}
    given = {key: value for key, value in given.items() if key in taken and value is not None}
    try:
        calculator = found(**given)
    except Exception as error:  # of the user's code, which may raise anything
        raise ValueError(f"{name} of {path} failed: {_one_line(error)}") from error
    if not _is_calculator(calculator):
        raise ValueError(
            f"{name} of {path} returned an object of type {type(calculator).__name__}, not an ASE calculator"
        )
    return cast(BaseCalculator, calculator)


def _keywords(found) -> set[str]:
    try:
        return set(inspect.signature(found).parameters) & {"charge", "multiplicity"}
    except (TypeError, ValueError):  # compiled code without a signature
        return set()


def _is_calculator(found: object) -> bool:
    return isinstance(found, BaseCalculator) or (
        not isinstance(found, type) and hasattr(found, "get_potential_energy")
    )


@cache
def _loaded(path: str) -> ModuleType:
    """Run a script once in each process, with its folder as the place of its own imports."""
    spec = spec_from_file_location(f"ase_schnet_reference_{Path(path).stem}", path)
    module = module_from_spec(spec)
    sys.path.insert(0, str(Path(path).parent))
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # of the user's code, which may raise anything
        raise ValueError(f"{path} failed: {_one_line(error)}") from error
    finally:
        sys.path.remove(str(Path(path).parent))
    return module


def _one_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split()):.200}".rstrip(": ")
