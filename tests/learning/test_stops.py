"""Real processes, real signals: the same learning goes on, and comes to the same to the last bit."""

import os
import signal
import time
from pathlib import Path

import pytest
from forked import end, fork
from learning_cases import calls, run_learning, settings, springs

pytestmark = pytest.mark.slow
#: Files that exist when the process is killed, in their order: between two labels, two members, two runs, and
#: in the training of the end.
KILLS = (
    ("labels.extxyz.journal", 6),
    ("rounds/0/model/training/fold_1_done.safetensors", 1),
    ("rounds/1/runs/run_00.json", 1),
    ("rounds/last_28/model/training/fold_1.safetensors", 1),
)
INTERRUPT = ("rounds/last_28/model/training/data.npz", 1)
SLEEP = "import time; time.sleep(0.02)"


def lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.suffix == ".journal" else 1


def stopped(folder: Path, asked, file: str, wanted: int, number: int) -> None:
    """Begin or go on, and send a signal as soon as a file has come so far."""
    path = folder / "m" / file
    process = fork(run_learning, folder / "m", asked, said=folder / "said", OMP_NUM_THREADS="1")
    try:
        deadline = time.monotonic() + 120
        while not path.exists() or lines(path) < wanted:
            assert process.is_alive(), (folder / "said").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.002)
        os.kill(process.pid, number)
        process.join(60)
        assert process.exitcode not in (0, None)  # it was not done yet
    finally:
        end(process)


def outcome(folder: Path) -> dict[str, bytes]:
    """Return all that is compared: weights of every round, structures, labels, and the table."""
    found = [*(folder / "m").rglob("*.safetensors"), *(folder / "m").rglob("*.extxyz")]
    found += [folder / "m/rounds.csv"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def test_after_kills_and_ctrl_c_the_same_call_comes_to_the_same(tmp_path):
    script = springs(tmp_path, before=SLEEP)
    asked = settings(script)
    points = [(*where, signal.SIGKILL) for where in KILLS]
    points.insert(3, (*INTERRUPT, signal.SIGINT))
    for file, wanted, number in points:
        stopped(tmp_path, asked, file, wanted, number)
    process = fork(run_learning, tmp_path / "m", asked, said=tmp_path / "said", OMP_NUM_THREADS="1")
    process.join(120)
    assert process.exitcode == 0, (tmp_path / "said").read_text()
    assert 28 <= calls(tmp_path) <= 29  # at most the one that a kill found in flight
    journal = (tmp_path / "m/labels.extxyz.journal").read_text().splitlines()[1:]
    assert len(journal) == len(set(journal)) == 28

    quiet = tmp_path / "undisturbed"
    quiet.mkdir()
    run_learning(quiet / "m", asked)
    expected, found = outcome(quiet), outcome(tmp_path)
    assert {name for name in expected if "model.safetensors" in name or "weights" in name}
    assert found.keys() - expected.keys() == set()
    assert [name for name in expected if found[name] != expected[name]] == []
