"""Several processes of `ase-schnet lammps` are asked for one run, and end together."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import lammps_cases
import numpy as np
import pytest
from ase.io import read, write
from factory import random_model
from mpi_runs import MPIEXEC, commands_in_turn, needs_lammps

from ase_schnet.modelfile import save_model


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_model(tmp_path_factory.mktemp("run") / "model", random_model(pbc=True))


@pytest.fixture(scope="module")
def structure(model):
    path = model.parent / "structure.xyz"
    write(path, lammps_cases.mixture((2, 2, 3)))
    return path


def by_rank(tmp_path, *arguments, otherwise: tuple, rank: int = 1) -> list:
    """Command line of `ase-schnet lammps` in which one process of two gets other arguments."""
    script = tmp_path / f"rank_{rank}.sh"
    program = f"exec {sys.executable} -m ase_schnet lammps"
    theirs, mine = (" ".join(map(str, part)) for part in (otherwise, arguments))
    script.write_text(
        f'#!/bin/sh\n[ "$PMI_RANK" = {rank} ] && {program} {theirs}\n{program} {mine}\n'
    )
    script.chmod(0o755)
    return [MPIEXEC, "-n", "2", str(script)]


#: What one process is asked for besides, and what all of them are told.
CHANGES = {
    "--time 0.4": "another --time than process 0",
    "--seed 4": "another seed than process 0",
    "--dtype float32": "another dtype than process 0",
    "--monitor off": "another monitor than process 0",
}


@pytest.fixture(scope="module")
def refused(model, structure):
    """Return, by what is changed and for which of two processes, what became of both."""
    folder = model.parent
    atoms = read(structure)
    atoms.rattle(0.01, seed=3)
    write(folder / "other.extxyz", atoms)
    cases = {}
    for change in CHANGES:
        for rank in (0, 1):
            usual = ["lammps", model, structure, "--time", "0.3", "-o", folder / "refused"]
            cases[change, rank] = [usual, usual]
            cases[change, rank][rank] = [*usual, *change.split()]
    cases["structure", 1] = [usual, [*usual[:2], folder / "other.extxyz", *usual[3:]]]
    return dict(zip(cases, commands_in_turn(folder, list(cases.values())), strict=True))


@pytest.mark.slow
@needs_lammps
@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize("change", CHANGES)
def test_processes_that_are_asked_for_different_runs_end(refused, change, rank, model):
    """They used to wait for each other for ever."""
    codes, said, _ = zip(*refused[change, rank], strict=True)
    assert codes == (2, 2)
    assert CHANGES[change] in said[0]
    assert "Traceback" not in "".join(said)
    assert not (model.parent / "refused" / "log.csv").exists()


@pytest.mark.slow
@needs_lammps
def test_another_structure_in_one_process_is_named(refused):
    codes, said, _ = zip(*refused["structure", 1], strict=True)
    assert codes == (2, 2)
    (line,) = (line for line in said[0].splitlines() if line.startswith("ase-schnet"))
    assert "process 1 was started with another structure than process 0" in line


@pytest.mark.slow
@needs_lammps
@pytest.mark.parametrize("rank", [0, 1])
def test_options_that_one_process_cannot_read_end_all(rank, model, structure, tmp_path):
    usual = (model, structure, "--time", "0.3", "-o", tmp_path / "run")
    command = by_rank(tmp_path, *usual, otherwise=(*usual, "--bogus"), rank=rank)
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1, done.stderr
    assert "unrecognized arguments: --bogus" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "run" / "log.csv").exists()


@pytest.mark.slow
@needs_lammps
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_at_a_point_to_go_on_from_and_nothing_is_lost(
    number, model, structure, tmp_path
):
    run_dir = tmp_path / "run"
    command = [MPIEXEC, "-n", "2", sys.executable, "-m", "ase_schnet", "lammps"]
    command += [model, structure, "--time", "100", "--no-plot", "--monitor", "off", "-o", run_dir]
    command = [str(part) for part in command]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        wait_for_samples(run_dir / "log.csv", 30)
        process.send_signal(number)  # mpiexec passes it on
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert said.count("--resume") == 1
    rows = (run_dir / "log.csv").read_text().splitlines()
    with np.load(run_dir / "restart.npz") as saved:
        assert int(saved["step"]) == len(rows) - 2 >= 30
    if number != signal.SIGINT:  # what is left is the same
        return
    command[command.index("100")] = "0.005"
    done = subprocess.run([*command, "--resume"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2  # of mpiexec
    (line,) = done.stderr.splitlines()
    assert line.startswith("ase-schnet lammps: ")
    assert "ps long" in line
    assert (run_dir / "log.csv").read_text().splitlines() == rows


def wait_for_samples(log: Path, n: int) -> None:
    deadline = time.monotonic() + 60
    while not (log.exists() and log.read_bytes().count(b"\n") > n):
        assert time.monotonic() < deadline
        time.sleep(0.02)
