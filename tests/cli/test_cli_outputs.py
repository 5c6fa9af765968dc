"""Outputs: names are looked at first, results are saved before they are told, SIGTERM saves as Ctrl-C."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ase.build import molecule
from ase.io import write

from ase_schnet.cli import main
from ase_schnet.cli.outputs import check_outputs
from ase_schnet.modelfile import CARD, WEIGHTS, load_model, save_model
from ase_schnet.runtime.files import CannotWrite, replaced, write_csv, write_whole


@pytest.fixture(scope="module")
def structure(tmp_path_factory):
    path = tmp_path_factory.mktemp("structures") / "ethanol.xyz"
    write(path, molecule("CH3CH2OH"))
    return str(path)


def command(structure, plot, *more):
    turn = ["--dihedral", "0", "1", "2", "3", "--from", "0", "--to", "300", "--points", "6"]
    program = [sys.executable, "-m", "ase_schnet"]
    return [*program, "scan", "ethanol", structure, *turn, *more, "-o", str(plot)]


@pytest.mark.slow
def test_a_scan_into_a_closed_pipe_has_written_everything(structure, tmp_path):
    process = subprocess.Popen(
        command(structure, tmp_path / "s.png", "--frames", str(tmp_path / "s.xyz")),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    process.stdout.close()  # as `| true` does
    process.wait(timeout=120)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["s.csv", "s.png", "s.xyz"]


@pytest.mark.slow
def test_the_guide_into_a_closed_pipe_has_no_traceback():
    process = subprocess.Popen(
        [sys.executable, "-m", "ase_schnet"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    process.wait(timeout=60)


ANNOUNCING = """
import sys
from ase_schnet.cli import main
from ase_schnet.scan import driver
compute = driver._compute_point
def announced(*args):
    point = compute(*args)
    print("point", flush=True)
    return point
driver._compute_point = announced
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.slow
def test_a_terminated_scan_writes_what_is_finished(structure, tmp_path):
    """kill, a batch system's end of time: 130 and a table of some points, as after Ctrl-C."""
    many = ["--relaxed", "--fmax", "0.0005", "--points", "2000", "--no-plot"]
    scan = command(structure, tmp_path / "s.png", *many)[3:]
    process = subprocess.Popen(
        [sys.executable, "-c", ANNOUNCING, *scan],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"TQDM_DISABLE": "1"},
        text=True,
    )
    for _ in range(3):
        assert process.stdout.readline() == "point\n"
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert "interrupted after" in err
    assert 1 < len((tmp_path / "s.csv").read_text(encoding="utf-8").splitlines()) < 2000


def test_sigterm_is_as_before_when_a_command_has_ended(structure, tmp_path, capsys):
    before = signal.getsignal(signal.SIGTERM)
    assert main(["info", "ethanol"]) == 0
    assert signal.getsignal(signal.SIGTERM) == before


SCAN = [
    "scan",
    "ethanol",
    "absent.xyz",
    "--dihedral",
    "0",
    "1",
    "2",
    "3",
    "--from",
    "0",
    "--to",
    "9",
]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["evaluate", "ethanol", "absent.npz", "-o", "nodir/p.png"], "there is no folder nodir"),
        (["evaluate", "ethanol", "absent.npz", "-o", "p.foo"], "its name must end in"),
        ([*SCAN, "-o", "nodir/p.png"], "there is no folder nodir"),
        ([*SCAN, "-o", "p"], "its name must end in"),
        ([*SCAN, "--frames", "nodir/f.xyz"], "there is no folder nodir"),
        ([*SCAN, "--frames", "."], ". is a folder: give the name of a file in it"),
        (["spectrum", "absent", "-o", "nodir/p.png"], "there is no folder nodir"),
        (["spectrum", "absent", "-o", "p.doc"], "its name must end in"),
        (["drift", "absent", "-o", "nodir/p.png"], "there is no folder nodir"),
        (["augment", "absent.npz", "literal", "-o", "nodir/a.xyz"], "there is no folder nodir"),
        (["augment", "absent.npz", "literal", "--figure", "f", "-o", "a.xyz"], "must end in"),
        ([*SCAN, "-o", "."], ". is a folder: give the name of a file in it"),
        ([*SCAN, "-o", ""], ". is a folder: give the name of a file in it"),
        (["modes", "ethanol", "absent.xyz", "-o", ".."], ".. is a folder"),
        (["spectrum", "absent", "-o", "/"], "/ is a folder: give the name of a file in it"),
        (["average", "absent", "--of", "rdf", "-o", "."], ". is a folder"),
        ([*SCAN, "--frames", "scan.csv"], "scan.csv would be written twice"),
        (
            [*SCAN, "--save-data", "--frames", "./scan-data.csv"],
            "scan-data.csv would be written twice",
        ),
        (
            ["modes", "ethanol", "absent.xyz", "--relaxed", "modes.png"],
            "modes.png would be written",
        ),
        ([*SCAN, "--points", "99999999999999999999"], "--points must be at most 100000"),
        ([*SCAN, "--to", "1e400"], "--from and --to must be finite numbers"),
        (["average", "absent", "--of", "rdf", "--bins", "0"], "--bins must be a whole number"),
        (["md", "ethanol", "absent.xyz", "-o", "file/run"], "file is a file, not a folder"),
        (["train", "absent.npz", "-o", "file"], "file is a file, not a folder"),
        (["train-dipole", "absent.npz", "-o", "file/model"], "file is a file, not a folder"),
    ],
    ids=lambda v: " ".join([v[0], *v[-2:]]) if isinstance(v, list) else None,
)
def test_a_name_that_nothing_can_be_written_to_is_refused_before_anything_is_read(
    arguments, message, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("x")
    assert main(arguments) == 2
    err = capsys.readouterr().err
    assert message in err
    assert len(err.splitlines()) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_link_to_what_is_not_there_is_called_one(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("link").symlink_to("nowhere")
    assert main(["train", "absent.npz", "-o", "link/model"]) == 2
    assert "link is a link to what is not there" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["scan", *SCAN[3:], "--frames"], ["modes", "--relaxed"]])
def test_the_file_of_a_frame_is_not_replaced(words, tmp_path, monkeypatch, capsys):
    """`file.xyz@0` is read from file.xyz, which an output of this name replaced."""
    monkeypatch.chdir(tmp_path)
    write("two.xyz", [molecule("CH3CH2OH")] * 2)
    before = Path("two.xyz").read_bytes()
    assert main([words[0], "ethanol", "two.xyz@0", *words[1:], "two.xyz"]) == 2
    assert "two.xyz is read by this command" in capsys.readouterr().err
    assert Path("two.xyz").read_bytes() == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_refused(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(ValueError, match="no permission to write"):
        check_outputs(files=[tmp_path / "a.csv"])


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes with names are POSIX")
def test_a_device_or_pipe_is_not_replaced_by_a_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", "/dev/null", "/dev/stdout"):
        with pytest.raises(ValueError, match="is no file, but a device or a pipe"):
            check_outputs(files=[path])


def test_outputs_that_can_be_written_are_accepted(tmp_path):
    (tmp_path / "there.png").write_text("x")
    check_outputs(
        files=[tmp_path / "a.csv", None],
        plots=[tmp_path / "there.png", tmp_path / "b.PDF", None],
        folders=[tmp_path / "new" / "run", tmp_path],
    )
    assert [p.name for p in tmp_path.iterdir()] == ["there.png"]


def test_an_output_that_is_a_link_is_followed_and_the_link_stays(tmp_path):
    (tmp_path / "scratch").mkdir()
    link, target = tmp_path / "latest.csv", tmp_path / "scratch" / "run7.csv"
    link.symlink_to("scratch/run7.csv")  # leads nowhere yet
    for value in (1.0, 2.0):
        write_csv(link, {"x": np.array([value])})
        assert link.is_symlink()
        assert target.read_text() == f"x\n{value}\n"
    assert [path.name for path in target.parent.iterdir()] == ["run7.csv"]
    with pytest.raises(ZeroDivisionError), replaced(link) as there:
        there.write_text(f"half {1 / 0}")
    assert target.read_text() == "x\n2.0\n"
    assert link.is_symlink()


def test_a_model_directory_of_links_stays_one(tmp_path):
    (tmp_path / "scratch").mkdir()
    (tmp_path / "model").mkdir()
    for name in (CARD, WEIGHTS):
        (tmp_path / "model" / name).symlink_to(tmp_path / "scratch" / name)
    save_model(tmp_path / "model", load_model("methanol"))
    assert {path.name for path in (tmp_path / "scratch").iterdir()} == {CARD, WEIGHTS}
    assert load_model(tmp_path / "model").n_members == load_model("methanol").n_members


def test_links_to_one_file_to_no_folder_and_to_themselves_are_refused(tmp_path):
    (tmp_path / "a.csv").symlink_to("c.csv")
    (tmp_path / "b.csv").symlink_to("c.csv")
    with pytest.raises(ValueError, match=r"b.csv would be written twice"):
        check_outputs(files=[tmp_path / "a.csv", tmp_path / "b.csv"])
    (tmp_path / "nowhere.csv").symlink_to("missing/c.csv")
    with pytest.raises(ValueError, match=r"there is no folder .*missing to write nowhere.csv to"):
        check_outputs(files=[tmp_path / "nowhere.csv"])
    (tmp_path / "self.csv").symlink_to("self.csv")
    with pytest.raises(ValueError, match=r"self.csv cannot be written"):
        check_outputs(files=[tmp_path / "self.csv"])
    with pytest.raises(CannotWrite, match=r"self.csv could not be written"):
        write_whole(tmp_path / "self.csv", b"x")
