"""Members as jobs by themselves: idempotent, killed and resumed, side by side, one fit in two processes."""

import os
import runpy
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import Executor, Future
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase.io import write
from dask_cluster import two_workers
from factory import TINY, labelled_molecules, small_dataset
from forked import FORKSERVER, end, fork
from joblib import Parallel, delayed

from ase_schnet.cli import main
from ase_schnet.data.splits import plan_folds
from ase_schnet.labelling.cluster import scheduler
from ase_schnet.modelfile import WEIGHTS
from ase_schnet.plotting import LiveFigure, plot_learning_curves
from ase_schnet.runtime.locks import InUseError
from ase_schnet.training.crossval import assemble_ensemble, cross_validate
from ase_schnet.training.distributed import is_rank_zero, process_group
from ase_schnet.training.fold import train_fold
from ase_schnet.training.log import TrainingLog, read_log, read_logs
from ase_schnet.training.loss import LossWeights
from ase_schnet.training.recipe import Recipe
from ase_schnet.training.result import TrainingDiverged
from ase_schnet.training.run import run_fit
from ase_schnet.training.settings import FitSettings
from ase_schnet.training.workdir import WORK, WorkDirectory

QUICK = FitSettings(epochs=3, batch_size=4, seed=3)


def recipe(folds=3, **settings) -> Recipe:
    plan = plan_folds(24, folds, n_kept_out=4, seed=0)
    return Recipe(TINY, LossWeights(), replace(QUICK, **settings), plan)


def files(directory: Path) -> dict[str, int]:
    """Every file with the time it was written, but for locks."""
    return {
        p.name: p.stat().st_mtime_ns for p in (directory / WORK).iterdir() if p.suffix != ".lock"
    }


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The model that one call makes."""
    directory = tmp_path_factory.mktemp("whole") / "m"
    cross_validate(small_dataset(24), directory, recipe(), jobs=1)
    return directory


@pytest.mark.slow
def test_jobs_of_joblib_and_assemble_make_the_same_model_as_one_call(whole, tmp_path):
    directory, data = tmp_path / "m", small_dataset(24)
    folds = [3, 1, 2, 1]  # in any order, and one twice
    jobs = (delayed(train_fold)(data, directory, recipe(), k) for k in folds[:3])
    done = Parallel(n_jobs=2, backend=FORKSERVER)(jobs)
    assert done == [True] * 3
    before = files(directory)
    assert train_fold(data, directory, recipe(), folds[3])
    assert files(directory) == before
    model = assemble_ensemble(directory)
    assert (directory / WEIGHTS).read_bytes() == (whole / WEIGHTS).read_bytes()
    assert model.card["folds"][0]["seed"] == 3
    assert sorted(files(directory)) == ["fold_1.csv", "fold_2.csv", "fold_3.csv"]
    (directory / WORK / "fold_1.lock").touch()  # killed before it had cleaned up
    assert assemble_ensemble(directory).checksum == model.checksum  # again: nothing to do
    assert sorted(files(directory)) == ["fold_1.csv", "fold_2.csv", "fold_3.csv"]
    assert train_fold(data, directory, recipe(), 1)


@pytest.mark.slow
def test_members_trained_by_a_cluster_whose_worker_dies_are_the_same(tmp_path, monkeypatch, capsys):
    """A relative directory; the worker that dies has a checkpoint, from which another one goes on."""
    monkeypatch.chdir(tmp_path)
    slower = recipe(epochs=12)
    cross_validate(small_dataset(24), "here", slower, jobs=1)
    module = "ase_schnet.training.crossval"
    with two_workers(tmp_path, module) as (address, pids), scheduler(address) as executor:
        run = threading.Thread(
            target=cross_validate,
            args=(small_dataset(24), "there", slower),
            kwargs={"executor": executor},
        )
        run.start()
        locks = [tmp_path / "there" / WORK / f"fold_{k}.lock" for k in (1, 2, 3)]
        victim = None
        while victim is None:
            assert run.is_alive()
            said = [path.read_text() for path in locks if path.exists()]
            victim = next((pid for pid in pids if any(str(pid) in text for text in said)), None)
            time.sleep(0.02)
        os.kill(victim, signal.SIGKILL)
        run.join(60)
    assert not run.is_alive()
    assert (tmp_path / "there" / WEIGHTS).read_bytes() == (tmp_path / "here" / WEIGHTS).read_bytes()
    assert main(["train", "none.xyz", "-o", "m", "--fold", "1", "--scheduler", address]) == 2
    assert "train without --fold" in capsys.readouterr().err


class FailsFirst(Executor):
    """Fails the last job that it is given, and never begins the others, as a scheduler may."""

    def __init__(self):
        self.given = []

    def submit(self, function, /, *args, **options):
        self.given.append(Future())
        if len(self.given) == 3:
            self.given[-1].set_exception(TrainingDiverged("fold 3"))
        return self.given[-1]


def test_the_error_of_a_job_is_told_and_the_others_are_given_up(tmp_path):
    executor = FailsFirst()
    with pytest.raises(TrainingDiverged, match="fold 3"):
        cross_validate(small_dataset(24), tmp_path / "m", recipe(), executor=executor)
    assert [future.cancelled() for future in executor.given] == [True, True, False]


def test_a_job_goes_on_where_it_was_stopped_and_refuses_what_is_not_its_own(whole, tmp_path):
    directory, data = tmp_path / "m", small_dataset(24)
    left = iter([True, False])
    assert not train_fold(data, directory, recipe(), 2, keep_going=left.__next__)
    with pytest.raises(ValueError, match="folds 1, 2, 3 not finished"):
        assemble_ensemble(directory)
    with pytest.raises(ValueError, match="there are folds 1 to 3, not 4"):
        train_fold(data, directory, recipe(), 4)
    with pytest.raises(ValueError, match="epochs=3, not epochs=4: resume with what"):
        train_fold(data, directory, recipe(epochs=4), 2)
    with pytest.raises(ValueError, match="other energies in structure 0"):
        train_fold(replace(data, E=data.E + 1.0), directory, recipe(), 2)
    with (
        WorkDirectory(directory).lock_fold(2),
        pytest.raises(InUseError, match=f"fold 2 of .* is in use by process {os.getpid()} on "),
    ):
        train_fold(data, directory, recipe(), 2)
    cross_validate(data, directory, recipe(), jobs=1, resume=True)  # jobs and one call may mix
    assert (directory / WEIGHTS).read_bytes() == (whole / WEIGHTS).read_bytes()


def test_no_training_no_assembly(tmp_path):
    with pytest.raises(ValueError, match="holds no training; begin one with ase-schnet train"):
        assemble_ensemble(tmp_path)


def test_two_seeds_two_models_and_one_seed_one(whole, tmp_path):
    for name, seed in (("same", 3), ("other", 4)):
        cross_validate(small_dataset(24), tmp_path / name, recipe(seed=seed), jobs=1)
    weights = {
        p: (p / WEIGHTS).read_bytes() for p in (whole, tmp_path / "same", tmp_path / "other")
    }
    assert weights[whole] == weights[tmp_path / "same"] != weights[tmp_path / "other"]


# ---- the log -----------------------------------------------------------------------------------


def test_a_log_has_every_epoch_once_whatever_a_kill_left_in_it(tmp_path):
    path = tmp_path / "fold_1.csv"
    history = [{"epoch": k, "training_loss": 1.0 / k, "nothing": None} for k in range(1, 8)]
    log = TrainingLog(path, [])
    for record in history[:5]:
        log.add(record)
    times = read_log(path)["elapsed_s"]
    with path.open("a") as file:
        file.write("6,0.1")  # killed while writing
    assert read_log(path)["epoch"] == [1, 2, 3, 4, 5]  # what the picture sees
    log = TrainingLog(path, history[:3])  # the checkpoint was older
    for record in history[3:]:
        log.add(record)
    columns = read_log(path)
    assert columns["epoch"] == list(range(1, 8))
    assert columns["training_loss"] == [1.0 / k for k in range(1, 8)]
    assert columns["elapsed_s"][:3] == times[:3]
    assert sorted(columns["elapsed_s"]) == columns["elapsed_s"]
    assert columns["nothing"] == [None] * 7
    path.write_bytes(b"\0\0\0,\n1,x\n")  # the power failed
    TrainingLog(path, history[:2])
    assert read_log(path)["epoch"] == [1, 2]


@pytest.mark.slow
def test_curves_are_drawn_while_the_training_goes_on(tmp_path, whole):
    logs = read_logs(whole / WORK)
    assert [log["label"] for log in logs] == ["fold 1", "fold 2", "fold 3"]
    drawn, path = [], tmp_path / "training.png"

    def draw():
        drawn.append(1)
        return plot_learning_curves(logs) if len(drawn) > 1 else None  # nothing to see at first

    with LiveFigure(draw, path, every_s=0.01):
        deadline = time.monotonic() + 30
        while not path.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
    assert path.stat().st_size > 10_000
    count = len(drawn)
    time.sleep(0.05)
    assert len(drawn) == count  # and no more after the end
    with (
        pytest.warns(UserWarning, match="no more pictures"),
        LiveFigure(lambda: plot_learning_curves(logs), tmp_path / "absent" / "a.png", 0.01) as live,
    ):
        live._thread.join(30)


# ---- processes ---------------------------------------------------------------------------------

UNGUARDED = """
from ase_schnet import Dataset, FitSettings, LossWeights, Recipe, SchNetConfig
from ase_schnet import cross_validate, plan_folds, read_labelled
data = Dataset.from_atoms(read_labelled({data!r}, "eV")[0])
network = SchNetConfig(8, 8, n_interactions=1, n_rbf=8, cutoff=4.0, gamma=4.0)
recipe = Recipe(network, LossWeights(), FitSettings(epochs=1), plan_folds(24, 2, n_kept_out=4))
cross_validate(data, {path!r}, recipe, jobs=2)
"""


@pytest.mark.slow
def test_a_script_without_a_main_guard_is_told_so_and_leaves_nothing_begun(tmp_path):
    """Its processes run it again from the top; none of them begins, asks to resume, or prints a word."""
    script, work, said = tmp_path / "script.py", tmp_path / "m" / WORK, tmp_path / "said"
    data = tmp_path / "molecules.xyz"
    write(data, labelled_molecules(24))
    script.write_text(UNGUARDED.format(data=str(data), path=str(tmp_path / "m")))
    process = fork(runpy.run_path, str(script), None, "__main__", said=said)
    process.join()
    assert process.exitcode == 1
    stderr = said.read_text()
    assert stderr.count("Traceback") == 1  # the parent's, where the script called it
    cure = 'again from its top: put its own work under `if __name__ == "__main__":`, or give jobs=1'
    assert stderr.splitlines()[-1].endswith(cure)
    assert "resum" not in stderr
    assert not list(work.iterdir())


@pytest.mark.slow
def test_two_processes_under_torchrun_make_the_fit_of_one(tmp_path, monkeypatch):
    """Molecules of 3 to 9 atoms, batches of five and a last one of one: parts that are unequal or empty."""
    data = tmp_path / "molecules.xyz"
    write(data, labelled_molecules(24))
    options = [
        *("train", str(data), "--units", "eV", "--folds", "2", "--fold", "1", "--kept-out", "0.1"),
        *("--epochs", "4", "--batch-size", "5", "--optimizer", "adam", "--learning-rate", "5e-3"),
        *("--interactions", "1", "--energy-weight", "0.1", "--no-plot"),
        *("--dropout", "0.05", "--trainable-gaussians", "--weight-decay", "0.01"),
    ]
    begun = [*options, "-o", str(tmp_path / "two")]
    with monkeypatch.context() as patch:  # one process begins, two go on from its checkpoint
        once = iter([True, False])
        patch.setattr(
            "ase_schnet.training.fold.run_fit",
            lambda *a, **k: run_fit(*a, **{**k, "keep_going": once.__next__}),
        )
        assert main(begun) == 0
    assert read_log(tmp_path / "two" / WORK / "fold_1.csv")["epoch"] == [1]
    torchrun = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "ase_schnet"]
    done = subprocess.run(
        [sys.executable, *torchrun, *begun], capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("fold 1 is done; fold 2 not finished") == 1
    assert main([*options, "-o", str(tmp_path / "one")]) == 0
    one, two = (read_log(tmp_path / name / WORK / "fold_1.csv") for name in ("one", "two"))
    assert one["training_loss"][3] < 0.8 * one["training_loss"][0]
    for column in ("epoch", "training_loss", "validation_loss", "validation_energy_mae_meV"):
        np.testing.assert_allclose(two[column], one[column], rtol=2e-5)


class Unsendable(Exception):
    def __init__(self, one, two):
        super().__init__(one + two)


def on_one_rank(rank: int, path: Path) -> None:
    """Meet one fault after the other in one of two processes, and write down what both raise."""

    def fails(error, only=0):
        def call(*args, **kwargs):
            if rank == only:
                raise error
            return real(*args, **kwargs)

        return call

    real = Recipe.fit
    faults = {
        "locked": None,
        "disk": (TrainingLog, "add", fails(OSError("no room"))),
        "finish": (WorkDirectory, "finish", fails(Unsendable("one", "two"))),
        "begin": (WorkDirectory, "begin", fails(PermissionError("not yours"))),
        "rank 1": (Recipe, "fit", fails(KeyError("only there"), only=1)),
    }
    with process_group():
        assert is_rank_zero() == (rank == 0)
        for name, fault in faults.items():
            lock = []
            if name == "locked" and rank == 0:
                lock = [WorkDirectory(path / name).lock_fold(1)]
            with pytest.MonkeyPatch.context() as patch:
                if fault is not None:
                    patch.setattr(*fault)
                try:
                    train_fold(small_dataset(24), path / name, recipe(), 1)
                except Exception as error:
                    said = f"{name}: {type(error).__name__}: {error}"
            with (path / f"rank_{rank}.txt").open("a") as file:
                print(said, file=file)
            del lock


@pytest.mark.slow
def test_what_one_rank_meets_all_ranks_raise(tmp_path):
    """Whether it is the first that cannot lock or write, or another that cannot read: none waits for ever."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    group = {"TORCHELASTIC_RUN_ID": "one", "WORLD_SIZE": "2"}  # as torchrun sets them
    group |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    said = [tmp_path / f"said_{k}" for k in (0, 1)]
    processes = [
        fork(on_one_rank, k, tmp_path, said=said[k], RANK=str(k), LOCAL_RANK=str(k), **group)
        for k in (0, 1)
    ]
    try:
        for process in processes:
            process.join(200)
        codes = [process.exitcode for process in processes]
    finally:  # those that wait for each other wait for ever
        for process in processes:
            end(process)
    assert codes == [0, 0], [path.read_text() for path in said]
    first, second = ((tmp_path / f"rank_{k}.txt").read_text().splitlines() for k in (0, 1))
    expected = (
        ("locked: InUseError: fold 1 of ", " is in use by process "),
        ("disk: OSError: no room", ""),
        ("finish: ", "onetwo"),
        ("begin: PermissionError: not yours", ""),
        ("rank 1: KeyError: 'only there'", ""),
    )
    for a, b, (begin, part) in zip(first, second, expected, strict=True):
        assert a.startswith(begin)
        assert b.startswith(begin)
        assert part in a
        assert part in b


def test_torchrun_must_be_told_which_fit(tmp_path, monkeypatch, capsys):
    data = tmp_path / "molecules.xyz"
    write(data, labelled_molecules(24))
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "one")  # as torchrun sets it
    arguments = ["train", str(data), "--units", "eV", "-o", str(tmp_path / "m")]
    assert main(arguments) == 2
    assert main([*arguments, "--fold", "1", "--device", "cuda"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert "under torchrun the processes share one fit: say which with --fold K" in lines[0]
    assert "shared by CPUs only, not by cuda" in lines[1]


def test_jobs_and_assembly_on_the_command_line(tmp_path, capsys):
    data, model = tmp_path / "molecules.xyz", str(tmp_path / "m")
    write(data, labelled_molecules(24))
    job = [
        *("train", str(data), "-o", model, "--units", "eV", "--folds", "2", "--kept-out", "0.1"),
        *("--epochs", "1", "--interactions", "1", "--no-plot", "--fold"),
    ]
    assert main([*job, "2"]) == 0
    assert "fold 2 is done; fold 1 not finished" in capsys.readouterr().out
    assert main(["assemble", model]) == 2
    assert "fold 1 not finished. Run ase-schnet train with the same" in capsys.readouterr().err
    assert main([*job, "1"]) == 0
    assert f"fold 1 is done; join all with ase-schnet assemble {model}" in capsys.readouterr().out
    assert (
        main(["assemble", model]) == 1
    )  # an epoch or two come to nothing, and the verdict says so
    assert "Validation loss per structure, by fold" in capsys.readouterr().out
    assert (tmp_path / "m" / "training.png").stat().st_size > 10_000
    assert main([*job, "1"]) == 0
    assert "nothing to do" in capsys.readouterr().out
    assert main([*job, "3"]) == 2
    assert "there are folds 1 to 2, not 3" in capsys.readouterr().err
