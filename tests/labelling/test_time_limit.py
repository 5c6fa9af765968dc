"""A label that takes too long has failed; the others are there."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from ase.build import molecule
from ase.io import write

from ase_schnet import label_structures
from ase_schnet.cli import main
from ase_schnet.labelling.journal import journal_path
from ase_schnet.labelling.reference import read_reference

# at last libc's sleep, deaf and called as functions of C are that keep the interpreter for themselves
SCRIPT = """
import ctypes, signal, subprocess, time
from ase.calculators.emt import EMT

class Hanging(EMT):
    def calculate(self, atoms, properties, system_changes):
        distance = atoms.get_distance(0, 1)
        if distance > 3:
            time.sleep(600)
        if distance > 2:
            subprocess.check_call(["sleep", "612.5"])
        if distance < 0.5:
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
            ctypes.PyDLL(None).sleep(600)
        super().calculate(atoms, properties, system_changes)
"""
LIMIT_S = 0.5


@pytest.fixture
def hanging(tmp_path):
    (tmp_path / "hanging.py").write_text(SCRIPT)
    return f"{tmp_path}/hanging.py:Hanging"


def stretched(*distances):
    frames = []
    for distance in distances:
        frames.append(molecule("H2O"))
        frames[-1].set_distance(0, 1, distance, fix=0)
    return frames


def programs():
    """Return the command lines of all processes."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(path.read_bytes())
        except OSError:
            continue
    return found


@pytest.mark.slow
@pytest.mark.usefixtures("forked_workers")
@pytest.mark.parametrize("jobs", [1, 2])
def test_what_takes_longer_has_failed_and_the_others_are_labelled(hanging, tmp_path, jobs):
    frames = stretched(0.9, 3.5, 1.0, 2.5, 1.1)
    start = time.monotonic()
    result = label_structures(
        frames, read_reference(hanging).within(LIMIT_S), tmp_path / "labels.extxyz", jobs=jobs
    )
    assert time.monotonic() - start < 60
    assert result.failures == dict.fromkeys((1, 3), "took longer than 0.5 s")
    assert len(result.frames) == 3
    assert not [line for line in programs() if b"612.5" in line]  # it called it, and ended it
    assert len(journal_path(tmp_path / "labels.extxyz").read_text().splitlines()) == 6


@pytest.mark.slow
@pytest.mark.usefixtures("forked_workers")
def test_code_that_never_comes_back_is_ended_with_its_process(hanging):
    result = label_structures(
        stretched(0.9, 0.4, 1.0), read_reference(hanging).within(LIMIT_S), jobs=2
    )
    assert result.failures == {1: "took longer than 0.5 s"}
    assert len(result.frames) == 2


def test_a_limit_of_time_changes_no_label_and_not_what_the_method_is(hanging):
    plain = read_reference(hanging)
    limited = plain.within(60)
    assert limited.identity == plain.identity
    assert limited.calculator().results == {}
    with pytest.raises(ValueError, match="time_limit_s must be above 0"):
        plain.within(0)


def test_an_executor_keeps_no_time(hanging, tmp_path):
    limited = read_reference(hanging).within(1)
    with ThreadPoolExecutor(1) as threads, pytest.raises(ValueError, match="by processes of this"):
        label_structures(stretched(1.0), limited, tmp_path / "l.extxyz", executor=threads)
    assert sorted(path.name for path in tmp_path.iterdir() if "l." in path.name) == []


@pytest.mark.slow
def test_the_command_line_says_what_took_too_long(hanging, tmp_path, capsys):
    write(tmp_path / "pool.xyz", stretched(1.0, 3.5), format="extxyz")
    command = ["label", f"{tmp_path}/pool.xyz", "--reference", hanging, "--jobs", "1"]
    assert main([*command, "-o", f"{tmp_path}/l.extxyz", "--time-limit", "0.5"]) == 0
    assert "1 failed: 1 x took longer than 0.5 s" in capsys.readouterr().out
    assert main([*command, "-o", f"{tmp_path}/m.extxyz", "--time-limit", "0"]) == 2
    assert "--time-limit must be above 0" in capsys.readouterr().err
