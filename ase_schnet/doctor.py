"""Examine an installation: what is there, what is missing, whether it computes what it should."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.calculators.fd import calculate_numerical_forces

from ase_schnet import __version__
from ase_schnet.calculator import SchNetCalculator
from ase_schnet.dynamics.check import check_nve
from ase_schnet.inference import kernels
from ase_schnet.inference.compilation import kept_in
from ase_schnet.inference.registers import register_bytes
from ase_schnet.model_directories import ModelFileError, shipped_models
from ase_schnet.modelfile import load_model
from ase_schnet.runtime.cores import cores

DISTRIBUTION = "ase-schnet"
#: Optional parts of the installation for users, and what they are for. Others are for developers.
PARTS = {
    "reference": "labels by GFN2-xTB and density functionals: label, learn, train --pretrain",
    "report": "structures to click through: report",
    "lammps": "dynamics in LAMMPS over MPI: lammps",
    "cluster": "labels and fits by a Dask scheduler: --scheduler",
    "tune": "search for hyperparameters: tune",
    "hdf5": "data files of ANI-1, SPICE and QM7-X",
    "interop": "path integrals by i-PI, forces for OpenMM",
}
REGISTERS = {64: "AVX-512", 32: "AVX or AVX2", 16: "SSE or NEON"}
MODEL = "ethanol"
#: Largest difference of forces and the slope of the energy, eV/Å, by steps of STEP_ANG.
MAX_FORCE_DIFFERENCE, STEP_ANG = 1e-5, 1e-4
#: Of the picosecond of dynamics; with this step it is long enough for a verdict.
SEED, TEMPERATURE_K, TIMESTEP_FS = 0, 300.0, 0.25


@dataclass(frozen=True)
class Finding:
    """Hold what was found of one thing.

    Attributes
    ----------
    name
        The thing.
    words
        What is there, or what is wrong.
    cure
        What to do; "" if all is well, or nothing can be done.
    wrong
        Whether something needs the cure to work as it should. An optional part that is missing is not wrong.
    """

    name: str
    words: str
    cure: str = ""
    wrong: bool = False

    def __str__(self) -> str:
        cure = f"\n{'':<12}→ {self.cure}" if self.cure else ""
        return f"{self.name:<12}{'WRONG: ' if self.wrong else ''}{self.words}{cure}"


def examine() -> Iterator[Finding]:
    """Examine the installation, one thing after the other; the last ones compute for some seconds.

    Yields
    ------
    Finding
        What was found of one thing.
    """
    yield Finding(
        "package", f"ase_schnet {__version__} in {Path(__file__).parent}, models {_models()}"
    )
    yield Finding(
        "system",
        f"Python {platform.python_version()}, {platform.system()} {platform.machine()}, {cores()} cores",
    )
    yield _required()
    yield _processor()
    yield _cache()
    yield from _optional()
    yield from self_test()


def _models() -> str:
    return ", ".join(sorted(shipped_models())) or "none"


def _requirements() -> list[tuple[str, str]]:
    """Return (package, extra that asks for it, or "") of all that the installed package asks for."""
    found = []
    for text in metadata.requires(DISTRIBUTION) or ():
        name, extra = re.match(r"[\w.-]+", text), re.search(r"extra\s*==\s*['\"]([^'\"]+)", text)
        if name is not None:
            found.append((name[0], extra[1] if extra else ""))
    return found


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _required() -> Finding:
    """Look for the packages without which nothing works."""
    try:
        asked = _requirements()
    except metadata.PackageNotFoundError:
        return Finding(
            "packages", "the package is not installed, only found", "pip install -e .", wrong=True
        )
    versions = {name: _version(name) for name, extra in asked if not extra}
    missing = [name for name, version in versions.items() if version is None]
    if missing:
        cure = f"pip install {DISTRIBUTION}"
        return Finding("packages", f"missing: {', '.join(missing)}", cure, wrong=True)
    return Finding("packages", ", ".join(f"{name} {version}" for name, version in versions.items()))


def _processor() -> Finding:
    n_bytes = register_bytes()
    words = f"vectors of {n_bytes} bytes ({REGISTERS[n_bytes]}), {platform.processor() or platform.machine()}"
    return Finding("processor", words)


def _cache() -> Finding:
    """Look whether compiled code can be kept from one start to the next."""
    folder = kept_in(kernels.run)
    cure = "set NUMBA_CACHE_DIR to a folder that can be written to; else every start compiles again"
    if folder is None:
        return Finding("compiled", "there is no place to keep compiled code", cure, wrong=True)
    there = next(place for place in (folder, *folder.parents) if place.exists())
    if not os.access(there, os.W_OK | os.X_OK):
        return Finding(
            "compiled", f"code cannot be kept in {folder}: no permission", cure, wrong=True
        )
    kept = "with code of earlier starts" if any(folder.glob("*.nbc")) else "still empty"
    return Finding("compiled", f"code is kept in {folder}, which can be written to, {kept}")


def _optional() -> Iterator[Finding]:
    try:
        asked = _requirements()
    except metadata.PackageNotFoundError:
        return
    known = {extra for _, extra in asked}
    for part, purpose in PARTS.items():
        if part not in known:  # an older installation, beside a newer checkout
            cure = "pip install -e . of this checkout makes it known"
            yield Finding(part, f"unknown to what is installed ({purpose})", cure)
            continue
        missing = [name for name, extra in asked if extra == part and _version(name) is None]
        if missing:
            cure = f"pip install '{DISTRIBUTION}[{part}]'"
            yield Finding(part, f"missing {', '.join(missing)} ({purpose})", cure)
        else:
            yield Finding(part, f"here ({purpose})")


def self_test() -> Iterator[Finding]:
    """Yield whether a shipped model gives the energies, forces and dynamics that it should."""
    try:
        atoms = _molecule()
    except (ModelFileError, OSError) as error:
        cure = f"pip install --force-reinstall {DISTRIBUTION}"
        yield Finding("energy", str(error), cure, wrong=True)
        return
    for test in (_energy, _forces, _dynamics):
        yield _tested(test, atoms)


def _molecule() -> Atoms:
    """Return the structure that the model carries with it, with the model; loading compares its energies."""
    known = load_model(MODEL).card["self_check"]
    atoms = Atoms(known["numbers"], known["positions_Ang"])
    atoms.calc = SchNetCalculator(MODEL)
    return atoms


def _tested(test: Callable[[Atoms], tuple[str, str, bool]], atoms: Atoms) -> Finding:
    name, words, passed = test(atoms)
    cure = "" if passed else "report it, with all these lines: this installation cannot be trusted"
    return Finding(name, words, cure, wrong=not passed)


def _energy(atoms: Atoms) -> tuple[str, str, bool]:
    known = load_model(MODEL).card["self_check"]["energies_eV"]
    off = abs(atoms.get_potential_energy() - float(np.mean(known)))
    words = f"of {MODEL} within {off:.0e} eV of that of the network when it was trained"
    return "energy", words, off < MAX_FORCE_DIFFERENCE


def _forces(atoms: Atoms) -> tuple[str, str, bool]:
    numerical = calculate_numerical_forces(atoms, eps=STEP_ANG)
    off = float(np.abs(atoms.get_forces() - numerical).max())
    words = f"within {off:.0e} eV/Å of the slope of the energy (allowed {MAX_FORCE_DIFFERENCE:.0e})"
    return "forces", words, off < MAX_FORCE_DIFFERENCE


def _dynamics(atoms: Atoms) -> tuple[str, str, bool]:
    moving = atoms.copy()
    moving.calc = atoms.calc
    _, drift = check_nve(
        moving,
        temperature_K=TEMPERATURE_K,
        timestep_fs=TIMESTEP_FS,
        time_ps=1.0,
        test_time_ps=0.25,
        seed=SEED,
        progress=False,
    )
    slope = f"{drift.drift_meV_per_atom_per_ps:+.2g} ± {drift.drift_stderr_meV_per_atom_per_ps:.1g}"
    words = f"1 ps at constant energy: {drift.outcome}, drift {slope} meV/atom/ps"
    return "dynamics", "; ".join([words, *drift.reasons, *drift.doubts]), not drift.reasons
