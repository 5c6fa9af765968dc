"""One training at a time in a model directory: real processes, real signals."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from factory import TINY, labelled_crystals, labelled_molecules, small_dataset

from ase_schnet.data.dataset import Dataset
from ase_schnet.data.splits import plan_folds
from ase_schnet.locks import InUseError, LockFile
from ase_schnet.modelfile import WEIGHTS
from ase_schnet.training.crossval import cross_validate
from ase_schnet.training.fold import train_fold
from ase_schnet.training.loss import LossWeights
from ase_schnet.training.recipe import Recipe
from ase_schnet.training.settings import FitSettings
from ase_schnet.training.stored import StoredDataset
from ase_schnet.training.workdir import WORK

HELPERS = str(Path(__file__).parents[1] / "helpers")
SCRIPT = """
import sys
sys.path[:0] = {places!r}
from test_training_locks import *
if __name__ == "__main__":
    cross_validate(small_dataset(24), {path!r}, recipe({epochs}), jobs={jobs}, resume=True)
"""


def recipe(epochs=3) -> Recipe:
    settings = FitSettings(epochs=epochs, batch_size=4, seed=3)
    return Recipe(TINY, LossWeights(), settings, plan_folds(24, 2, n_kept_out=4))


def start(path, epochs, jobs=1) -> subprocess.Popen:
    places = [str(Path(__file__).parent), HELPERS]
    code = SCRIPT.format(places=places, path=str(path), epochs=epochs, jobs=jobs)
    return subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)


def wait_for(path: Path, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 120
    while not path.exists():
        assert time.monotonic() < deadline
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [1, 2])
def test_a_second_training_is_refused_with_the_first_ones_name_until_that_is_killed(tmp_path, jobs):
    directory, forever = tmp_path / "m", 100_000
    process = start(directory, forever, jobs)
    try:
        wait_for(directory / WORK / "fold_1.csv", process)
        name = f"process {process.pid} on {socket.gethostname()}"
        for resume in (True, False):
            with pytest.raises(InUseError, match=f"^{directory} is in use by {name}$"):
                cross_validate(small_dataset(24), directory, recipe(forever), resume=resume)
        by = name if jobs == 1 else rf"process \d+ on {socket.gethostname()}"
        with pytest.raises(InUseError, match=f"fold 1 of {directory} is in use by {by}$"):
            train_fold(small_dataset(24), directory, recipe(forever), 1)
        os.kill(process.pid, signal.SIGKILL)
    finally:
        process.kill()
        process.communicate()
    written = json.loads((directory / WORK / "training.lock").read_text())
    assert written == {"host": socket.gethostname(), "pid": process.pid}
    time.sleep(1.0)  # its workers end with it
    stop = iter([True, False]).__next__
    assert not train_fold(small_dataset(24), directory, recipe(forever), 1, keep_going=stop)


@pytest.mark.slow
def test_of_trainings_that_start_together_one_trains(tmp_path):
    processes = [start(tmp_path / "m", 40) for _ in range(4)]
    errors = [process.communicate()[1] for process in processes]
    ended_well = [process.returncode == 0 for process in processes]
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
    monkeypatch.setattr("ase_schnet.locks.fcntl", None)
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


@pytest.mark.slow
def test_processes_are_sent_no_structures(tmp_path, monkeypatch):
    """They read their part of the file: what they are sent does not grow with the data."""
    sent = []
    reduce = Dataset.__reduce_ex__
    monkeypatch.setattr(
        Dataset, "__reduce_ex__", lambda self, version: sent.append(1) or reduce(self, version)
    )
    cross_validate(small_dataset(24), tmp_path / "m", recipe(1), jobs=2)
    assert not sent
