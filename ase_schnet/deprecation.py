"""Old names and old module paths, which work until version 0.3, with a DeprecationWarning."""

from __future__ import annotations

import functools
import sys
import warnings
from collections.abc import Callable, Mapping
from importlib import import_module
from types import ModuleType
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


def warn_of_old_name(old: str, new: str, stacklevel: int = 3) -> None:
    """Warn that `old` is now named `new`; by default at the caller of the function that calls this."""
    warnings.warn(
        f"{old} is now named {new}; the old name will be removed in 0.3",
        DeprecationWarning,
        stacklevel=stacklevel,
    )


def renamed(function: Callable[P, T], old: str, new: str) -> Callable[P, T]:
    """Return `function` under its name `old`, which warns that `new` is to be used."""

    @functools.wraps(function)
    def deprecated(*args: P.args, **kwargs: P.kwargs) -> T:
        warn_of_old_name(old, new)
        return function(*args, **kwargs)

    deprecated.__doc__ = f"Call {new} instead: this name is deprecated."
    return deprecated


def keep_importable(package: str, modules: Mapping[str, str]) -> None:
    """Make modules of a package that has been dissolved importable under their old names.

    The old modules are empty. A name is looked up in the new module, and then among the public names of
    ``ase_schnet``, when it is asked for; so nothing is imported before.

    Parameters
    ----------
    package
        Name of the old package, as in its ``__name__``.
    modules
        Name of each old module within the package -> name of the new one within ``ase_schnet``.
    """
    for old, new in modules.items():
        name = f"{package}.{old}"
        module = ModuleType(name, f"Moved to ase_schnet.{new}.")
        module.__getattr__ = Moved(name, f"ase_schnet.{new}")
        sys.modules[name] = module
        parent, _, child = name.rpartition(".")
        setattr(sys.modules[parent], child, module)


class Moved:
    """Find the names of a module that has moved, as its ``__getattr__``, and warn.

    Parameters
    ----------
    old, new
        Names of the module.
    """

    def __init__(self, old: str, new: str):
        self.old, self.new = old, new

    def __call__(self, name: str):
        """Return what `name` is in the new module, or else in ``ase_schnet``."""
        if name.startswith("__"):  # Python's own questions to a module
            raise AttributeError(f"module {self.old!r} has no attribute {name!r}")
        # the module itself would give an old name with a warning of its own
        name = import_module("ase_schnet")._RENAMED.get(name, name)
        for home in (self.new, "ase_schnet"):
            found = getattr(import_module(home), name, None)
            if found is not None:
                warnings.warn(
                    f"{self.old} is deprecated and will be removed in 0.3: import {name} from {home}",
                    DeprecationWarning,
                    stacklevel=2,
                )
                return found
        raise AttributeError(f"{self.old} has moved to {self.new}, which has no {name!r}")
