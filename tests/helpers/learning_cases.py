"""Small learnings of water: springs as the reference, which write down each of their calls."""

from pathlib import Path

import pytest
from ase import Atoms
from ase.build import molecule

from ase_schnet.learning.learn import learn
from ase_schnet.learning.result import LearnResult
from ase_schnet.learning.settings import LearnSettings

SCRIPT = """
import numpy as np
from ase.calculators.calculator import Calculator, CalculationFailed

class Springs(Calculator):
    implemented_properties = ["energy", "forces"]

    def calculate(self, atoms, properties, system_changes):
        super().calculate(atoms, properties, system_changes)
        {before}
        with open({calls!r}, "a") as file:
            file.write("called\\n")
        pairs, rest = ((0, 1), (0, 2), (1, 2)), (0.97, 0.97, 1.53)
        energy, forces = 0.0, np.zeros((3, 3))
        for (i, j), r0 in zip(pairs, rest):
            vector = atoms.positions[j] - atoms.positions[i]
            r = np.linalg.norm(vector)
            energy += 15 * (r - r0) ** 2  # eV/Å², half of it a force constant
            pull = 30 * (r - r0) * vector / r
            forces[i] += pull
            forces[j] -= pull
        self.results = {{"energy": energy, "forces": forces}}
        {after}
"""
#: What a calculator does with every tenth structure or so, and with another tenth.
SOME = """digit = int(1e6 * abs(atoms.positions[1, 2])) % 10
        if digit == 3: {}
        if digit == 7: {}"""
RAISES = 'raise CalculationFailed("SCF not converged")'
NO_NUMBER = 'self.results["forces"][:] = np.nan'
#: Exploring runs are short and few, but as many as a round has structures: each may end at its first.
LIFE_PS, RUNS, HOTTER_RUNS = 0.06, 4, 2


def springs(folder: Path, before: str = "pass", after: str = "pass") -> str:
    """Write the script, and return the text of the reference."""
    script = folder / "springs.py"
    script.write_text(SCRIPT.format(calls=str(folder / "calls"), before=before, after=after))
    return f"{script}:Springs"


def calls(folder: Path) -> int:
    """Return how often the reference was called."""
    path = folder / "calls"
    return len(path.read_text().splitlines()) if path.exists() else 0


def water() -> Atoms:
    """Return a molecule with one side longer than the other."""
    atoms = molecule("H2O")
    atoms.positions[1, 1] += 0.02
    return atoms


def settings(reference: str, **others) -> LearnSettings:
    """Return settings of a learning that takes seconds."""
    small = {"members": 2, "budget": 28, "life_ps": LIFE_PS, "cheap": None, "temperature_K": 300.0}
    steps = {"round_steps": 40, "last_steps": 40}
    return LearnSettings(reference=reference, **{**small, **steps, **others})


def few_short_runs(patch: pytest.MonkeyPatch) -> None:
    """Let a learning explore for a moment."""
    for name, value in (("RUNS", RUNS), ("HOTTER_RUNS", HOTTER_RUNS), ("HOTTER_PS", LIFE_PS)):
        patch.setattr(f"ase_schnet.learning.explore.{name}", value)
    patch.setattr("ase_schnet.learning.first.INTERVAL", 4)
    patch.setattr("ase_schnet.learning.first.CANDIDATES", 3)


def run_learning(directory: Path, settings: LearnSettings) -> LearnResult:
    """Learn in this process alone, with few and short runs; for a forked process too."""
    with pytest.MonkeyPatch.context() as patch:
        few_short_runs(patch)
        return learn([water()], directory, settings, jobs=1)
