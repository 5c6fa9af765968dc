"""Real processes, real signals: what is on disk after them, and that the same command goes on."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from ase.build import molecule
from ase.io import read, write
from dask_cluster import two_workers

from ase_schnet.labelling.journal import journal_path

SLOW = """
import time
from ase.calculators.emt import EMT

class Slow(EMT):
    def calculate(self, atoms, properties, system_changes):
        time.sleep({seconds})
        super().calculate(atoms, properties, system_changes)
"""
pytestmark = pytest.mark.slow


def write_pool(path, n):
    frames, rng = [], np.random.default_rng(0)
    for k in range(n):
        frames.append(molecule("H2O"))
        frames[-1].positions += rng.normal(0, 0.03, (3, 3))
        frames[-1].info["number"] = k
    write(path, frames, format="extxyz")


def records(output):
    """Whole lines behind the header."""
    path = journal_path(output)
    text = path.read_bytes() if path.exists() else b""
    return [json.loads(line) for line in text[: text.rfind(b"\n") + 1].splitlines()[1:]]


def wait_for(output, n, process):
    deadline = time.monotonic() + 60
    while len(records(output)) < n:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)


def workers_of(process):
    children = f"/proc/{process.pid}/task/{process.pid}/children"
    found = []
    with open(children) as file:
        for pid in file.read().split():
            with open(f"/proc/{pid}/cmdline") as command:
                if "spawn_main" in command.read():
                    found.append(int(pid))
    return found


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until_gone(pids):
    deadline = time.monotonic() + 20
    while any(alive(pid) for pid in pids):
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="looks processes up in /proc")
def test_after_a_killed_worker_ctrl_c_and_kill_9_the_same_command_goes_on(
    tmp_path,
):
    script, output = tmp_path / "slow.py", tmp_path / "labels.extxyz"
    script.write_text(SLOW.format(seconds=0.1))
    write_pool(tmp_path / "pool.xyz", 50)
    command = [sys.executable, "-m", "ase_schnet", "label", "pool.xyz", "-o", "labels.extxyz"]
    command += ["--reference", "slow.py:Slow", "--jobs", "2"]
    start = {"cwd": tmp_path, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}

    process = subprocess.Popen(command, **start)
    wait_for(output, 2, process)
    os.kill(workers_of(process)[0], signal.SIGKILL)  # others are started in its place
    wait_for(output, len(records(output)) + 6, process)
    workers = workers_of(process)
    assert len(workers) == 2
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "stopped; the labels so far are kept" in err
    assert "give the same command again" in err
    assert "Traceback" not in err
    wait_until_gone(workers)

    process = subprocess.Popen(command, **start)
    wait_for(output, len(records(output)) + 4, process)
    workers = workers_of(process)
    process.kill()
    process.communicate()
    wait_until_gone(workers)

    done = subprocess.run([*command, "--jobs", "1"], **start)
    assert done.returncode == 0, done.stderr
    assert "50 structures labelled" in done.stdout
    assert "none failed" in done.stdout
    keys = [record["key"] for record in records(output)]
    assert len(keys) == len(set(keys)) == 50
    assert [atoms.info["number"] for atoms in read(output, ":")] == list(range(50))


def test_a_dask_scheduler_whose_worker_is_killed_gives_every_label_once(tmp_path):
    script, output = tmp_path / "slow.py", tmp_path / "labels.extxyz"
    script.write_text(SLOW.format(seconds=0.03))
    write_pool(tmp_path / "pool.xyz", 80)
    with two_workers(tmp_path) as (address, (victim, _)):
        command = [sys.executable, "-m", "ase_schnet", "label", "pool.xyz", "-o", "labels.extxyz"]
        command += ["--reference", f"{script}:Slow", "--scheduler", address]
        label = subprocess.Popen(
            command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        wait_for(output, 10, label)
        os.kill(victim, signal.SIGKILL)
        out, err = label.communicate(timeout=60)
    assert label.returncode == 0, err
    assert "80 structures labelled" in out
    keys = [record["key"] for record in records(output)]
    assert len(keys) == len(set(keys)) == 80
    assert [atoms.info["number"] for atoms in read(output, ":")] == list(range(80))
