"""A training whose disk is full ends in one line, keeps what it has, and ends with the same bits."""

import os
import resource
import shutil
import signal
import subprocess
import sys
from argparse import Namespace
from dataclasses import replace

import numpy as np
import pytest
from ase.build import molecule
from ase.io import write
from factory import TINY, labelled_molecules, small_dataset
from forked import fork

from ase_schnet.cli import main
from ase_schnet.cli.assemble import report
from ase_schnet.data.formats import read_dataset
from ase_schnet.data.npz_frames import NpzFrames
from ase_schnet.data.splits import plan_folds
from ase_schnet.modelfile import CARD, WEIGHTS, load_model
from ase_schnet.runtime.files import CannotWrite, write_csv, write_whole
from ase_schnet.training.crossval import assemble_ensemble, cross_validate
from ase_schnet.training.fold import train_fold
from ase_schnet.training.loss import LossWeights
from ase_schnet.training.recipe import Recipe
from ase_schnet.training.settings import FitSettings
from ase_schnet.training.workdir import WORK

SETTINGS = FitSettings(epochs=2, batch_size=4, seed=3)


def recipe() -> Recipe:
    return Recipe(TINY, LossWeights(), SETTINGS, plan_folds(24, 2, n_kept_out=4))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The weights that a disk with room gets."""
    directory = tmp_path_factory.mktemp("whole") / "m"
    cross_validate(small_dataset(24), directory, recipe(), jobs=1)
    return (directory / WEIGHTS).read_bytes()


@pytest.fixture
def disk(tmp_path):
    """A file system of its own, and how to give it a size in kB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small tmpfs needs root")

    def resize(kB):
        subprocess.run(["mount", "-o", f"remount,size={kB}k", str(place)], check=True)

    yield place, resize
    # lazily: an error that was caught still holds tensors that are mapped to files there
    subprocess.run(["umount", "-l", str(place)], check=True)


def nothing_half_written(directory) -> bool:
    return not [p for p in directory.rglob("*") if "tmp" in p.name or p.name.startswith(".")]


def test_on_a_disk_that_grows_each_try_goes_further_and_the_last_ends_with_the_same_bits(
    disk, whole
):
    """It is full at the data, the logs, the checkpoints, the finished members, and the model."""
    (place, resize), failed_at = disk, []
    full = r"No space left on device: .* could not be written\. Earlier files are kept: .* then "
    for kB in (4, 20, 32, 140, 200, 292):
        resize(kB)
        with pytest.raises(OSError, match=full + "resume=True goes on") as caught:
            cross_validate(small_dataset(24), place / "m", recipe(), jobs=1, resume=True)
        failed_at.append(str(caught.value).split(" could not")[0].rpartition("/")[2])
        assert nothing_half_written(place)
        assert not (place / "m" / CARD).exists()
    assert {"data.npz", "fold_1.safetensors", WEIGHTS} <= set(failed_at)
    resize(10_000)
    cross_validate(small_dataset(24), place / "m", recipe(), jobs=1, resume=True)
    assert (place / "m" / WEIGHTS).read_bytes() == whole
    assert load_model(place / "m").n_members == 2


def test_one_fold_and_assembly_say_it_too(disk):
    place, resize = disk
    resize(40)
    for _ in range(2):
        with pytest.raises(
            OSError, match=r"fold_2\S* could not be written\. .*, then the same call"
        ):
            train_fold(small_dataset(24), place / "m", recipe(), 2)
    resize(400)
    for fold in (1, 2):
        train_fold(small_dataset(24), place / "m", recipe(), fold)
    (place / "ballast").write_bytes(bytes(shutil.disk_usage(place).free))
    with pytest.raises(OSError, match=rf"{WEIGHTS} could not be written\. .*, then the same call"):
        assemble_ensemble(place / "m")
    (place / "ballast").unlink()
    assemble_ensemble(place / "m")


def limited(arguments):
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # then writing raises OSError
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
    sys.exit(main(arguments))


@pytest.mark.slow
def test_the_command_line_says_it_in_one_line_and_resumes(tmp_path):
    write(tmp_path / "molecules.xyz", labelled_molecules(24))
    arguments = [
        *("train", str(tmp_path / "molecules.xyz"), "-o", str(tmp_path / "m"), "--units", "eV"),
        *("--folds", "2", "--kept-out", "0.2", "--epochs", "2", "--interactions", "1"),
        "--no-plot",
    ]
    process = fork(limited, [*arguments, "--jobs", "2"], said=tmp_path / "said")
    process.join()
    assert process.exitcode == 2
    said = (tmp_path / "said").read_text()
    line = said.splitlines()[-1]
    assert "Traceback" not in said
    assert {"fold 1: epoch 0/2", "fold 2: epoch 0/2"} <= {k[:17] for k in said.splitlines()}
    assert line.startswith(f"ase-schnet train: File too large: {tmp_path / 'm' / WORK}")
    assert line.endswith("correct the cause, then --resume goes on")
    assert main([*arguments, "--jobs", "1", "--resume"]) == 1  # two epochs come to nothing
    assert load_model(tmp_path / "m").n_members == 2


def test_a_picture_without_room_costs_no_model(tmp_path, capsys):
    data, directory = small_dataset(24), tmp_path / "m"
    model = cross_validate(data, directory, replace(recipe()), jobs=1)
    (directory / f".training.png.{os.getpid()}.tmp").mkdir()  # where it would be written first
    assert report(model, str(directory), Namespace(no_plot=False, save_data=False)) == 1
    out = capsys.readouterr().out
    assert "learning curves could not be drawn: " in out
    assert out.splitlines()[-1].startswith(f"model: {directory}")


@pytest.mark.parametrize("letter", ["x", "é"])
def test_names_as_long_as_a_file_system_allows_can_be_written(tmp_path, letter):
    """The temporary name is longer by a few letters."""
    path = tmp_path / (letter * (250 // len(letter.encode())) + ".npz")
    write_whole(path, b"new")
    assert path.read_bytes() == b"new"
    with NpzFrames(path, path) as frames:
        frames.add(molecule("H2O"), {"E": 1.0})
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    assert read_dataset(path)[0].E.tolist() == [1.0]


def test_errors_name_the_file_that_was_asked_for(tmp_path):
    """And not the temporary one, as in a folder that cannot be written to."""
    (tmp_path / f".a.csv.{os.getpid()}.tmp").mkdir()
    with pytest.raises(OSError, match=r"/a\.csv'$"):
        write_csv(tmp_path / "a.csv", {"x": np.ones(2)})


def test_a_file_is_written_as_a_whole_or_not_at_all(tmp_path):
    path = tmp_path / "a"
    write_whole(path, b"old")
    (tmp_path / f".a.{os.getpid()}.tmp").mkdir()
    with pytest.raises(CannotWrite, match=r"Is a directory: .*/a could not be written"):
        write_whole(path, b"new")
    assert path.read_bytes() == b"old"
