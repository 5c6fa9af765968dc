"""One process at a time works in a run directory: real processes, real signals."""

import json
import os
import signal
import socket
import subprocess
import sys
import time

import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from forked import fork

from ase_schnet import MDRecord, run_nve

RUN = """
import sys
from ase.build import bulk
from ase.calculators.emt import EMT
from ase_schnet import run_nve
atoms = bulk("Cu", cubic=True)
atoms.calc = EMT()
options = {"timestep_fs": 4, "temperature_K": 300, "seed": 3, "trajectory_every": 10}
run_nve(atoms, time_ps=float(sys.argv[2]), run_dir=sys.argv[1], resume=True, **options)
"""


def start(run_dir, time_ps) -> subprocess.Popen:
    command = [sys.executable, "-c", RUN, str(run_dir), str(time_ps)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def resume(run_dir, time_ps, **options) -> MDRecord:
    atoms = bulk("Cu", cubic=True)
    atoms.calc = EMT()
    options |= {"timestep_fs": 4, "temperature_K": 300, "seed": 3, "trajectory_every": 10}
    return run_nve(atoms, time_ps=time_ps, run_dir=run_dir, resume=True, **options)


@pytest.fixture
def running(tmp_path):
    """A run directory in which another process is at work."""
    run_dir = tmp_path / "run"
    process = start(run_dir, 1000)
    deadline = time.monotonic() + 60
    while not (run_dir / "restart.npz").exists():
        assert time.monotonic() < deadline
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.02)
    yield run_dir, process
    process.kill()
    process.communicate()


def test_the_second_is_refused_and_told_of_the_first_which_a_kill_releases(running):
    run_dir, process = running
    message = f"in use by process {process.pid} on {socket.gethostname()}"
    with pytest.raises(ValueError, match=message):
        resume(run_dir, 1000)
    atoms = bulk("Cu", cubic=True)
    atoms.calc = EMT()
    with pytest.raises(ValueError, match=message):  # not: exists
        run_nve(atoms, time_ps=1, run_dir=run_dir)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    done_ps = MDRecord.read(run_dir).time_fs[-1] / 1000
    record = resume(run_dir, round(done_ps + 0.4, 3))
    assert record.time_fs[-1] > 1000 * done_ps
    assert "process" not in json.loads((run_dir / "run.json").read_text())


@pytest.mark.slow
def test_of_processes_that_start_together_one_runs(tmp_path):
    run_dir = tmp_path / "run"
    said = [tmp_path / f"said_{k}" for k in range(5)]
    processes = [fork(resume, run_dir, 12, said=path) for path in said]
    for process in processes:
        process.join()
    errors = [path.read_text() for path in said]
    assert sorted(process.exitcode for process in processes) == [0, 1, 1, 1, 1]
    assert sum("is in use by" in error for error in errors) == 4
    resume(tmp_path / "alone", 12)
    alone, together = ((tmp_path / d / "log.csv").read_bytes() for d in ("alone", "run"))
    assert together == alone


def test_a_process_of_another_host_is_taken_over_only_on_demand(tmp_path):
    run_dir = tmp_path / "run"
    resume(run_dir, 0.4)
    about = json.loads((run_dir / "run.json").read_text())
    about["process"] = {"host": "node7", "pid": 123}
    (run_dir / "run.json").write_text(json.dumps(about))
    with pytest.raises(ValueError, match=r"process 123 on node7.*--take-over"):
        resume(run_dir, 0.8)
    assert len(resume(run_dir, 0.8, take_over=True)) == 201


def test_what_is_refused_leaves_no_directory(tmp_path):
    with pytest.raises(ValueError, match="no calculator"):
        run_nve(bulk("Cu", cubic=True), time_ps=1, run_dir=tmp_path / "run")
    assert not (tmp_path / "run").exists()
