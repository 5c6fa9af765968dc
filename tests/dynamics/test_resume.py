"""A run that was killed, or whose disk was full, goes on bit for bit as if nothing had happened."""

import os
import random
import resource
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.io import read
from forked import end, fork
from test_md import cluster

from ase_schnet import SchNetCalculator
from ase_schnet.dynamics.md import run_npt, run_nve, run_nvt
from ase_schnet.runs import rundir


def crystal() -> Atoms:
    """Small, and with a neighbour list that is kept for some steps: a memory that must not be felt."""
    atoms = bulk("Si", cubic=True)
    atoms.calc = SchNetCalculator("silicon")
    return atoms


#: Every integrator there is, and how a run with it is asked for.
RUNS = {
    "velocity Verlet": (run_nve, cluster, {}),
    "Bussi": (run_nvt, cluster, {"temperature_K": 200}),
    "Langevin": (run_nvt, cluster, {"temperature_K": 200, "thermostat": "langevin"}),
    "Bussi on a ramp": (run_nvt, cluster, {"temperature_K": 200, "temperature_end_K": 50}),
    "Langevin on a ramp": (
        run_nvt,
        cluster,
        {"temperature_K": 50, "temperature_end_K": 200, "thermostat": "langevin"},
    ),
    "Nosé-Hoover": (run_nvt, crystal, {"temperature_K": 300, "thermostat": "nose-hoover"}),
    "isotropic MTK": (run_npt, crystal, {"temperature_K": 300, "pressure_GPa": 1}),
    "full MTK": (run_npt, crystal, {"temperature_K": 300, "full_cell": True}),
}
QUICK = ("velocity Verlet", "Langevin", "isotropic MTK")  # the others are slow tests
N_STEPS = 200
COMMON = {"time_ps": N_STEPS / 1000, "timestep_fs": 1.0, "seed": 3, "trajectory_every": 7}


def go(name: str, run_dir: Path, **options):
    function, structure, physics = RUNS[name]
    return function(structure(), run_dir=run_dir, **COMMON, **physics, **options)


def assert_same_run(first: Path, second: Path):
    assert (first / "log.csv").read_bytes() == (second / "log.csv").read_bytes()
    frames, expected = (read(d / "trajectory.traj", index=":") for d in (first, second))
    assert [f.info["step"] for f in frames] == [f.info["step"] for f in expected]
    for frame, other in zip(frames, expected, strict=True):
        np.testing.assert_array_equal(frame.positions, other.positions)
        np.testing.assert_array_equal(frame.get_momenta(), other.get_momenta())
        np.testing.assert_array_equal(frame.cell, other.cell)


def go_on_disk(name: str, run_dir: Path, room: int | None = None) -> None:
    """Make a run with a restart point at every step; in files of so many bytes at most, and no more."""
    rundir.RESTART_SECONDS = 0.0
    if room is not None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # then writing raises OSError
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
    go(name, run_dir)


@pytest.mark.filterwarnings("ignore:a Nosé-Hoover chain")
@pytest.mark.parametrize(
    "name",
    [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in RUNS],
)
def test_killed_at_a_random_step_and_resumed_the_run_equals_an_uninterrupted_one(tmp_path, name):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    go(name, whole)
    log, n_lines = killed / "log.csv", random.randrange(30, N_STEPS // 2)
    process = fork(go_on_disk, name, killed, said=tmp_path / "said")
    try:
        while process.is_alive() and not (log.exists() and log.read_bytes().count(b"\n") > n_lines):
            time.sleep(0.002)
    finally:
        end(process)
    assert process.exitcode == -signal.SIGKILL, (tmp_path / "said").read_text()
    assert 0 < rundir.State.read(killed / "restart.npz").step < N_STEPS
    resumed = go(name, killed, resume=True)
    assert len(resumed) == N_STEPS + 1
    assert_same_run(killed, whole)


@pytest.mark.parametrize("name", ["Langevin", "isotropic MTK"])
def test_extended_twice_the_run_equals_one_in_one_piece(tmp_path, name):
    for steps in (3, 50, N_STEPS):
        function, structure, physics = RUNS[name]
        options = COMMON | {"time_ps": steps / 1000}
        function(structure(), run_dir=tmp_path / "a", resume=True, **options, **physics)
    go(name, tmp_path / "b")
    assert_same_run(tmp_path / "a", tmp_path / "b")


# --- a full disk --------------------------------------------------------------------------------

#: Bytes a file of the run may have: enough for half of its steps.
ROOM = 20_000


def test_no_more_room_is_a_clear_error_and_the_run_can_be_resumed(tmp_path):
    """The limit of this process's files stands for a full disk: both fail in write()."""
    process = fork(go_on_disk, "Bussi", tmp_path / "run", ROOM, said=tmp_path / "said")
    process.join()
    message = (tmp_path / "said").read_text().strip().splitlines()[-1]
    assert process.exitcode == 1
    assert message.startswith("OSError")
    assert f"{tmp_path / 'run'} could not be written after step" in message
    assert "--resume" in message
    step = rundir.State.read(tmp_path / "run" / "restart.npz").step
    assert 0 < step < N_STEPS
    go("Bussi", tmp_path / "run", resume=True)
    go("Bussi", tmp_path / "whole")
    assert_same_run(tmp_path / "run", tmp_path / "whole")


def test_a_full_file_system(tmp_path):
    """The same with a real one of 40 kB, where this process may mount it."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=40k", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small tmpfs needs root")
    try:
        with pytest.raises(OSError, match=r"No space left on device: .* could not be written"):
            go("Bussi", disk / "run")
        bigger = ["mount", "-o", "remount,size=10m", str(disk)]
        subprocess.run(bigger, check=True)
        go("Bussi", disk / "run", resume=True)
        go("Bussi", tmp_path / "whole")
        assert_same_run(disk / "run", tmp_path / "whole")
    finally:
        subprocess.run(["umount", str(disk)], check=True)
