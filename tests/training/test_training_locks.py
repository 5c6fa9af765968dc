"""One training at a time in a model directory: real processes, real signals."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import fields, replace
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
import pytest
from factory import TINY, labelled_crystals, labelled_molecules, small_dataset
from forked import end, fork

from ase_schnet.data.dataset import Dataset
from ase_schnet.data.splits import plan_folds
from ase_schnet.modelfile import WEIGHTS
from ase_schnet.runtime.locks import InUseError, LockFile
from ase_schnet.training.crossval import cross_validate
from ase_schnet.training.fold import train_fold
from ase_schnet.training.log import read_log
from ase_schnet.training.loss import LossWeights
from ase_schnet.training.recipe import Recipe
from ase_schnet.training.settings import FitSettings
from ase_schnet.training.stored import StoredDataset
from ase_schnet.training.workdir import WORK


def recipe(epochs=3, n=24, batch_size=4) -> Recipe:
    settings = FitSettings(epochs=epochs, batch_size=batch_size, seed=3)
    return Recipe(TINY, LossWeights(), settings, plan_folds(n, 2, n_kept_out=4))


def long_training(directory: Path, jobs: int) -> None:
    """Train two members whose first epoch takes seconds."""
    data = small_dataset(24).subset(np.arange(24).repeat(100))
    cross_validate(data, directory, recipe(100, 2400, batch_size=1), jobs=jobs)


def training(directory: Path, epochs: int) -> None:
    cross_validate(small_dataset(24), directory, recipe(epochs), jobs=1, resume=True)


def wait_for(paths: list[Path], process: BaseProcess, said: Path) -> None:
    deadline = time.monotonic() + 120
    while not all(path.exists() for path in paths):
        assert time.monotonic() < deadline
        assert process.is_alive(), said.read_text()
        time.sleep(0.02)


def children_of(pid: int) -> list[str]:
    tasks = list(Path(f"/proc/{pid}/task").iterdir())
    return [child for task in tasks for child in (task / "children").read_text().split()]


def command_of(pid: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def runs(pid: str) -> bool:
    """Neither gone nor a zombie that nobody has buried yet; one whose threads still end holds its files."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state != "Z" or len(os.listdir(f"/proc/{pid}/task")) > 1
    except (FileNotFoundError, ProcessLookupError):
        return False


needs_proc = pytest.mark.skipif(
    not Path("/proc/self/task").exists(), reason="finds processes in /proc"
)


@pytest.mark.slow
@needs_proc
@pytest.mark.filterwarnings("ignore:.* are the same, perhaps turned")
@pytest.mark.parametrize("jobs", [1, 2])
def test_a_second_training_is_refused_with_the_first_ones_name_until_that_is_killed(tmp_path, jobs):
    """And the workers of the killed one end at once, not with their epoch, and leave their locks."""
    directory, data = tmp_path / "m", small_dataset(24).subset(np.arange(24).repeat(100))
    same = recipe(100, 2400, batch_size=1)
    process = fork(long_training, directory, jobs, said=tmp_path / "said")
    logs = [directory / WORK / f"fold_{k}.csv" for k in range(1, jobs + 1)]
    try:
        wait_for(logs, process, tmp_path / "said")  # all have begun an epoch
        workers = [pid for pid in children_of(process.pid) if b"spawn_main" in command_of(pid)]
        assert len(workers) == (0 if jobs == 1 else 2)
        name = f"process {process.pid} on {socket.gethostname()}"
        for resume in (True, False):
            with pytest.raises(InUseError, match=f"^{directory} is in use by {name}$"):
                cross_validate(data, directory, same, resume=resume)
        by = name if jobs == 1 else rf"process \d+ on {socket.gethostname()}"
        with pytest.raises(InUseError, match=f"fold 1 of {directory} is in use by {by}$"):
            train_fold(data, directory, same, 1)
        os.kill(process.pid, signal.SIGKILL)
        killed_at = time.monotonic()
        while any(map(runs, workers)) and time.monotonic() < killed_at + 60:
            time.sleep(0.02)
        assert time.monotonic() - killed_at < 10.0
    finally:
        end(process)
    assert all(read_log(log) == {} for log in logs), "an epoch was waited for"
    written = json.loads((directory / WORK / "training.lock").read_text())
    assert written == {"host": socket.gethostname(), "pid": process.pid}
    assert not train_fold(data, directory, same, 1, keep_going=lambda: False)  # may go on at once


LONG = """
import sys
sys.path[:0] = {places!r}
if __name__ == "__main__":
    from test_training_locks import Path, long_training
    long_training(Path({path!r}), 2)
"""


@pytest.mark.slow
@needs_proc
def test_ctrl_c_while_the_workers_start_ends_the_training(tmp_path):
    """One that is half started waits for its orders, and the parent used to wait for it.

    A program of its own: it is at the end of the interpreter that the parent waits.
    """
    places = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "helpers")]
    code = LONG.format(places=places, path=str(tmp_path / "m"))
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    try:
        while not children_of(process.pid):  # the resource tracker, before any worker
            assert time.monotonic() < deadline
            time.sleep(0.01)
        # no sleep from here: the start of the workers is over within milliseconds
        while not any(b"spawn_main" in command_of(pid) for pid in children_of(process.pid)):
            assert time.monotonic() < deadline
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=60)[1]
    finally:
        process.kill()
    assert "KeyboardInterrupt" in said


@pytest.mark.slow
def test_of_trainings_that_start_together_one_trains(tmp_path):
    said = [tmp_path / f"said_{k}" for k in range(4)]
    processes = [fork(training, tmp_path / "m", 40, said=path) for path in said]
    for process in processes:
        process.join()
    errors = [path.read_text() for path in said]
    ended_well = [process.exitcode == 0 for process in processes]
    refused = ["is in use by process" in error for error in errors]
    assert any(ended_well)
    assert all(a != b for a, b in zip(ended_well, refused, strict=True)), errors
    cross_validate(small_dataset(24), tmp_path / "alone", recipe(40), jobs=1)
    together, alone = ((tmp_path / d / WEIGHTS).read_bytes() for d in ("m", "alone"))
    assert together == alone
    assert not list((tmp_path / "m" / WORK).glob("*.lock"))


@pytest.mark.parametrize("name", ["training.lock", "fold_2.lock"])
def test_a_process_of_another_host_is_taken_over_only_on_demand(tmp_path, name):
    directory = tmp_path / "m"
    (directory / WORK).mkdir(parents=True)
    (directory / WORK / name).write_text(json.dumps({"host": "node7", "pid": 123}))
    with pytest.raises(InUseError, match=r"in use by process 123 on node7.*--take-over"):
        cross_validate(small_dataset(24), directory, recipe(), jobs=1)
    model = cross_validate(
        small_dataset(24), directory, recipe(), jobs=1, resume=True, take_over=True
    )
    assert model.n_members == 2


def test_a_lock_that_its_holder_removes_is_held_by_one_process(tmp_path):
    path = tmp_path / "a.lock"
    first = LockFile(path, "a")
    path.unlink()  # as at the end of a training
    second = LockFile(path, "a")
    with pytest.raises(InUseError, match=f"a is in use by process {os.getpid()}"):
        LockFile(path, "a")
    first.release()
    assert json.loads(path.read_text())["pid"] == os.getpid()  # of the second
    second.release()
    with LockFile(path, "a"):
        pass
    assert path.read_text() == ""


def test_where_files_cannot_be_locked_the_name_of_a_living_process_counts(tmp_path, monkeypatch):
    monkeypatch.setattr("ase_schnet.runtime.locks.fcntl", None)
    path, host = tmp_path / "a.lock", socket.gethostname()
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    path.write_text(json.dumps({"host": host, "pid": other.pid}))
    try:
        with pytest.raises(InUseError, match=f"a is in use by process {other.pid} on {host}"):
            LockFile(path, "a")
    finally:
        other.communicate(b"\n")
    with LockFile(path, "a"):
        assert json.loads(path.read_text()) == {"host": host, "pid": os.getpid()}
    path.write_text("half a li")  # of a killed process
    LockFile(path, "a").release()


# ---- data that are read in parts ---------------------------------------------------------------


@pytest.mark.parametrize(
    "frames",
    [labelled_molecules(12), labelled_crystals(9), labelled_molecules(5) + labelled_crystals(5)],
)
def test_a_part_read_from_the_file_is_that_of_the_data(tmp_path, frames):
    whole = Dataset.from_atoms(frames, source="here", units="eV, Ang")
    rng = np.random.default_rng(0)
    whole = replace(
        whole,
        charge=np.where(np.arange(len(whole)) < 4, np.nan, 1.0),
        weight=rng.random(len(whole)),
        force_mask=rng.random(whole.F.shape) < 0.5,
        dipole=rng.random((len(whole), 3)),
    )
    stored = StoredDataset(tmp_path / "data.npz")
    stored.write(whole)
    for structures in (np.array([2, 0, 3]), np.arange(len(whole)), np.array([5])):
        part, expected = stored.subset(structures), whole.subset(structures)
        for field in fields(Dataset):
            a, b = getattr(part, field.name), getattr(expected, field.name)
            if isinstance(b, np.ndarray):
                assert a.dtype == b.dtype
                np.testing.assert_array_equal(a, b)
            else:
                assert a == b, field.name
        assert part.fingerprint() == expected.fingerprint()
