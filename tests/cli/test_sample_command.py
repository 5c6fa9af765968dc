"""``ase-schnet sample``: from a file to a pool, stopped by signals and gone on with."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ase.build import molecule
from ase.io import read, write
from sampling_cases import slow_ethanol

from ase_schnet.cli import main

HELPERS = Path(__file__).resolve().parents[1] / "helpers"
QUICK = ("--share", "displaced=0.5,stretched=0.3,rotated=0.2", "--jobs", "1")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write("ethanol.xyz", molecule("CH3CH2OH"))
    write("methyl.xyz", molecule("CH3"))
    return tmp_path


def test_a_pool_is_written_and_its_parts_are_removed(folder, capsys):
    assert main(["sample", "ethanol.xyz", "-n", "30", *QUICK, "-o", "pool.extxyz"]) == 0
    frames = read("pool.extxyz", ":")
    assert len(frames) == 30
    assert {atoms.info["sampled_by"] for atoms in frames} == {"displaced", "stretched", "rotated"}
    assert "9  stretched" in capsys.readouterr().out
    assert sorted(path.name for path in folder.iterdir()) == [
        "ethanol.xyz",
        "methyl.xyz",
        "pool.extxyz",
    ]


def test_a_file_without_structures_is_named(folder, capsys):
    (folder / "blank.xyz").write_text("\n\n")
    assert main(["sample", "blank.xyz", "-n", "3", "-o", "pool.extxyz"]) == 2
    assert "blank.xyz: there is no structure to start from" in capsys.readouterr().err


def test_charge_and_multiplicity_are_written_with_every_structure(folder):
    options = ["-n", "10", "--jobs", "1", "--share", "displaced=1", "-o", "pool.extxyz"]
    assert main(["sample", "methyl.xyz", "--charge", "0", "--multiplicity", "2", *options]) == 0
    assert {a.info["multiplicity"] for a in read("pool.extxyz", ":")} == {2}


def test_a_data_set_and_several_files_are_starts(folder, shared_data):
    data = str(shared_data("rmd17-npz", "rmd17_ethanol_train_01.npz"))
    assert main(["sample", data, "ethanol.xyz", "-n", "400", *QUICK, "-o", "pool.extxyz"]) == 0
    numbers = {atoms.info["sampled_from"] for atoms in read("pool.extxyz", ":")}
    assert len(numbers) > 300
    assert max(numbers) <= 1000


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["nothing.xyz"], "nothing.xyz: no such file"),
        (["ethanol.xyz", "--calculator", "gfn7"], "'gfn7' is no reference method"),
        (["ethanol.xyz"], "'md' need a calculator"),
        (["ethanol.xyz", "--share", "md"], "give KIND=FRACTION"),
        (["ethanol.xyz", "--share", "md=1.2"], "more than 1"),
        (["ethanol.xyz", "--noise", "2", "1"], "--noise must be two numbers"),
        (["ethanol.xyz", "--features", "ethanol"], "--features is for --select"),
        (["ethanol.xyz", "--select", "3"], "--select 3 are fewer than -n 10"),
        (["ethanol.xyz", "-o", "ethanol.xyz"], "exists already"),
        (["ethanol.xyz", "-o", "pool.cif"], "end the name in .extxyz"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(folder, capsys, options, message):
    output = [] if "-o" in options else ["-o", "pool.extxyz"]
    assert main(["sample", *options, "-n", "10", *output]) == 2
    told = capsys.readouterr().err
    assert message in told
    assert told.count("\n") == 1
    assert sorted(path.name for path in folder.iterdir()) == ["ethanol.xyz", "methyl.xyz"]


COMMAND = [sys.executable, "-m", "ase_schnet", "sample", "ethanol.xyz", "-n", "80", "-o", "p.xyz"]
COMMAND += ["--share", "md=1", "--temperature", "500"]


def reference():
    return ["--calculator", f"{HELPERS / 'sampling_cases.py'}:{slow_ethanol.__name__}"]


def started(folder, **options):
    """Start a sampling of two processes, and return it when one more part is on disk."""
    before = len(list(folder.glob("p.xyz.parts/*.npz")))
    process = subprocess.Popen([*COMMAND, *reference(), "--jobs", "2"], **options)
    while len(list(folder.glob("p.xyz.parts/*.npz"))) == before:
        assert process.poll() is None, "it ended too early"
        time.sleep(0.02)
    return process


@pytest.mark.slow
def test_killed_and_interrupted_it_goes_on_and_leaves_no_process_behind(folder):
    process = started(folder)
    process.kill()
    process.wait()
    deadline = time.monotonic() + 10
    ids = [int(path.name.split("-")[1]) for path in folder.glob("process-*")]
    assert len(ids) >= 3  # this one tries the start
    while any(Path(f"/proc/{pid}").exists() for pid in ids):
        assert time.monotonic() < deadline, "a worker outlives the command"
        time.sleep(0.05)
    done = len(list(folder.glob("p.xyz.parts/*.npz")))
    process = started(folder, stderr=subprocess.PIPE, text=True)
    os.kill(process.pid, signal.SIGINT)
    told = process.communicate()[1]
    assert process.returncode == 130
    assert "p.xyz.parts, and the same command goes on" in told
    assert "Traceback" not in told
    assert len(list(folder.glob("p.xyz.parts/*.npz"))) >= done + 1
    assert subprocess.run([*COMMAND, *reference(), "--jobs", "1"]).returncode == 0
    assert len(read("p.xyz", ":")) == 80
    assert not (folder / "p.xyz.parts").exists()
