"""A training in a pipe or a log file shows that it is alive."""

import errno
import io
import re
import sys
import time

import numpy as np
import pytest
from ase.io import write
from factory import TINY, labelled_molecules, small_dataset
from forked import fork

from ase_schnet.cli import main
from ase_schnet.runtime import progress
from ase_schnet.runtime.progress import Tally, time_left
from ase_schnet.training.loss import LossWeights
from ase_schnet.training.progress import Progress
from ase_schnet.training.run import run_fit
from ase_schnet.training.settings import FitSettings
from ase_schnet.training.trainer import Fit


def make_fit(epochs=6) -> Fit:
    data = small_dataset(24)
    parts = (data.subset(np.arange(18)), data.subset(np.arange(18, 24)))
    return Fit(TINY, *parts, LossWeights(), FitSettings(epochs=epochs, batch_size=4, seed=3))


class Terminal(io.StringIO):
    def isatty(self):
        return True


class Full(io.StringIO):
    def write(self, text):
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.fixture
def often(monkeypatch):
    monkeypatch.setattr(progress, "EVERY_S", 0.01)


def test_without_a_terminal_there_are_lines_with_epoch_errors_and_time_left(often, capsys):
    run_fit(make_fit(), label="fold 2")
    first, *lines, last = capsys.readouterr().err.splitlines()
    assert first == "fold 2: epoch 0/6, 18 structures"
    errors = r"F \d+\.\d meV/Å, E \d+\.\d meV/atom"
    assert re.fullmatch(rf"fold 2: epoch 6/6, {errors}", last)
    told = rf"fold 2: epoch [\d.]+/6(, {errors})?(, \d+ min left)?"
    assert lines
    assert all(re.fullmatch(told, line) for line in lines)
    assert any("min left" in line for line in lines)


def test_an_epoch_that_takes_long_is_told_of_before_it_ends(often, capsys):
    fit = make_fit()
    with Progress(fit, "fold 1"):
        fit.step = 2  # of five
        time.sleep(0.1)
    lines = capsys.readouterr().err.splitlines()
    assert "fold 1: epoch 0.4/6, 1 min left" in lines


def test_on_a_terminal_there_is_a_bar_and_no_line(often, monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    run_fit(make_fit(), label="fold 1")
    text = sys.stderr.getvalue()
    assert "6/6" in text
    assert "epoch 0/6" not in text


def test_a_stderr_that_is_full_costs_no_fit(often, monkeypatch):
    monkeypatch.setattr(sys, "stderr", Full())
    assert run_fit(make_fit(), label="fold 1").epoch == 6


def test_without_a_label_nothing_is_said(often, capsys):
    run_fit(make_fit(), label=None)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(5, "1 min"), (600, "10 min"), (3660, "1 h 1 min"), (90_000, "25 h 0 min")],
)
def test_durations(seconds, text):
    assert time_left(time.monotonic() - seconds, 1, 2) == f", {text} left"


def test_long_work_on_structures_is_told_of_before_the_first_is_done(often, capsys):
    with Tally(10, "labelling", "structure", done=4) as tally:
        time.sleep(0.1)
        tally.update(2)
        time.sleep(0.1)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "labelling: 4 of 10 structures"
    assert lines[-1] == "labelling: 6 of 10 structures, 1 min left"
    with Tally(10, "labelling", "structure", show=False):
        time.sleep(0.1)
    assert capsys.readouterr().err == ""


@pytest.mark.slow
def test_a_log_file_of_both_streams_is_in_order(tmp_path):
    write(tmp_path / "molecules.xyz", labelled_molecules(24))
    command = ["train", str(tmp_path / "molecules.xyz"), "-o", str(tmp_path / "m"), "--units", "eV"]
    command += ["--folds", "2", "--kept-out", "0.2", "--epochs", "1", "--no-plot", "--jobs", "1"]
    fork(main, command, said=tmp_path / "log").join()  # its stdout is a file, and buffered
    lines = (tmp_path / "log").read_text().splitlines()
    fits = [k for k, line in enumerate(lines) if line.startswith("fold ") and "epoch " in line[:20]]
    found = next(k for k, line in enumerate(lines) if line.startswith("molecules.xyz: 24 frames"))
    tables = lines.index("Validation loss per structure, by fold")
    assert len(fits) == 4  # each fold's first and last line
    assert found < min(fits) < max(fits) < tables
