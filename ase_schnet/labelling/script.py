"""Calculators from a script of the user: ``FILE.py:NAME``."""

from __future__ import annotations

import hashlib
import inspect
import shutil
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from importlib.util import module_from_spec, spec_from_file_location
from multiprocessing.util import Finalize
from pathlib import Path
from types import ModuleType
from typing import cast

from ase.calculators.calculator import BaseCalculator, FileIOCalculator
from ase.calculators.genericfileio import GenericFileIOCalculator

from ase_schnet.runtime.refusals import one_line
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


def digest_of(path: str) -> str:
    """Return the sha256 of a script. Raise FileNotFoundError, in one line, if it is no longer there."""
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except FileNotFoundError:
        raise FileNotFoundError(no_such_file(Path(path))) from None


def found_in(path: str, name: str, digest: str) -> object:
    """Return what a script calls `name`.

    Raises
    ------
    ValueError
        In one line: the script is no longer the one of this digest; it fails; it has no such name; or that is
        neither a calculator nor can be called.
    """
    if digest_of(path) != digest:
        raise ValueError(f"{path} has changed since the labelling began: give its former text back")
    module = _loaded(path, digest)
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
    return found


def takes_charge(found: object) -> bool:
    """Tell whether what a script has can be called with a charge."""
    return "charge" in _keywords(found)


def called(found: object, what: str, charge: int, multiplicity: int | None) -> BaseCalculator:
    """Return the calculator that a name in a script is, or returns.

    A calculator that writes files into the working directory gets a directory of its own: its like in another
    process would write over them.

    Parameters
    ----------
    found
        As `found_in` returns it.
    what
        Its name, for the message.
    charge
        Total charge, e.
    multiplicity
        2S + 1.

    Raises
    ------
    ValueError
        In one line: the call fails or does not return a calculator.
    """
    if _is_calculator(found):
        return _with_directory(cast(BaseCalculator, found))
    given = {"charge": charge, "multiplicity": multiplicity}
    taken = _keywords(found)
    given = {key: value for key, value in given.items() if key in taken and value is not None}
    try:
        calculator = cast(Callable, found)(**given)
    except Exception as error:  # of the user's code, which may raise anything
        raise ValueError(f"{what} failed: {_kind_and_text(error)}") from error
    if not _is_calculator(calculator):
        raise ValueError(
            f"{what} returned an object of type {type(calculator).__name__}, not an ASE calculator"
        )
    return _with_directory(calculator)


def _with_directory(calculator: BaseCalculator) -> BaseCalculator:
    writes = isinstance(calculator, (FileIOCalculator, GenericFileIOCalculator))
    if writes and Path(calculator.directory) == Path():
        directory = tempfile.mkdtemp(prefix="ase_schnet_label_")
        calculator.directory = type(calculator.directory)(directory)
        Finalize(None, shutil.rmtree, args=(directory, True), exitpriority=1)
    return calculator


def _keywords(found: object) -> set[str]:
    if _is_calculator(found):
        return set()
    try:
        parameters = inspect.signature(cast(Callable, found)).parameters
    except (TypeError, ValueError):  # compiled code without a signature
        return set()
    return set(parameters) & {"charge", "multiplicity"}


def _is_calculator(found: object) -> bool:
    return isinstance(found, BaseCalculator) or (
        not isinstance(found, type) and hasattr(found, "get_potential_energy")
    )


@cache
def _loaded(path: str, digest: str) -> ModuleType:
    """Run a script once in each process, with its folder as the place of its own imports."""
    spec = spec_from_file_location(f"ase_schnet_reference_{Path(path).stem}_{digest[:8]}", path)
    module = module_from_spec(spec)
    sys.path.insert(0, str(Path(path).parent))
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # of the user's code, which may raise anything
        raise ValueError(f"{path} failed: {_kind_and_text(error)}") from error
    finally:
        sys.path.remove(str(Path(path).parent))
    return module


def _kind_and_text(error: BaseException) -> str:
    return f"{type(error).__name__}: {one_line(error):.200}".rstrip(": ")
