"""`ase-schnet predict`: structures without labels in, energies, forces and their deviations out."""

import _thread
import os
import signal
import threading
import time
import weakref

import numpy as np
import pytest
from ase.build import bulk, molecule
from ase.calculators.singlepoint import SinglePointCalculator
from ase.db import connect
from ase.io import read, write

from ase_schnet import SchNetCalculator, write_predictions
from ase_schnet.cli import main


def conformers(n=3):
    frames = [molecule("CH3CH2OH") for _ in range(n)]
    for k, atoms in enumerate(frames):
        atoms.rattle(0.02, seed=k)
        atoms.info["name"] = f"conformer {k}"
    return frames


def predict(model, source, output, *more):
    return main(["predict", model, str(source), "-o", str(output), *more])


@pytest.fixture(scope="module")
def calculator():
    return SchNetCalculator("ethanol")


@pytest.mark.parametrize("suffix", [".extxyz", ".xyz", ".traj", ".db"])
def test_what_the_calculator_says_is_in_the_file(tmp_path, capsys, calculator, suffix):
    source, output = tmp_path / "in.traj", tmp_path / f"out{suffix}"
    frames = conformers()
    for k, atoms in enumerate(frames):
        atoms.info["sweeps"] = np.int64(k)
    frames[1].calc = SinglePointCalculator(
        frames[1], energy=7.0
    )  # a label that is not carried over
    write(source, frames)
    assert predict("ethanol", source, output) == 0
    said = capsys.readouterr().out
    assert (
        f"{output}: 3 structures with energy (eV), energy_std, energy_error, forces (eV/Å)" in said
    )
    assert "forces_std, forces_error" in said
    assert "dipole (e·Å), dipole_std" in said
    for k, (atoms, found) in enumerate(zip(frames, read(output, ":"), strict=True)):
        atoms.calc = calculator
        assert found.get_potential_energy() == pytest.approx(atoms.get_potential_energy(), abs=1e-7)
        np.testing.assert_allclose(found.get_forces(), atoms.get_forces(), atol=1e-7)
        np.testing.assert_allclose(found.get_dipole_moment(), atoms.get_dipole_moment(), atol=1e-7)
        info = connect(output).get(k + 1).data if suffix == ".db" else found.info
        assert (info["frame_in_file"], info["name"]) == (k, f"conformer {k}")
        assert info["sweeps"] == k  # numpy's integers reach databases too
        for name in ("forces_std", "forces_error"):
            each = found.arrays[name] if "xyz" in suffix else info[name]
            np.testing.assert_allclose(each, calculator.results[name], atol=1e-7)
        for name in ("energy_std", "energy_error", "dipole_std"):
            np.testing.assert_allclose(info[name], calculator.results[name], atol=1e-7)
        assert info["error_level"] == 0.9
        if suffix == ".db":
            assert connect(output).get(k + 1).error_level == 0.9


def test_stress_where_a_structure_is_periodic(tmp_path, capsys):
    crystal, cluster = bulk("Si", cubic=True), bulk("Si", cubic=True)
    cluster.pbc = False
    write(tmp_path / "in.xyz", [crystal, cluster])
    assert predict("silicon", tmp_path / "in.xyz", tmp_path / "out.xyz") == 0
    assert "stress (eV/Å³), stress_std" in capsys.readouterr().out
    first, second = read(tmp_path / "out.xyz", ":")
    crystal.calc = SchNetCalculator("silicon")
    np.testing.assert_allclose(first.get_stress(), crystal.get_stress(), atol=1e-7)
    assert "stress" not in second.calc.results


def test_structures_that_the_model_cannot_describe_are_named_by_number(tmp_path, capsys):
    frames = conformers(6)
    frames[1].numbers[0] = frames[2].numbers[1] = 14
    frames[4].info["charge"] = 1
    write(tmp_path / "in.xyz", frames)
    assert predict("ethanol", tmp_path / "in.xyz", tmp_path / "out.xyz") == 1
    told = capsys.readouterr()
    assert "3 structures with" in told.out
    assert "left out: frames 1-2: model" in told.err
    assert "was not trained on Si" in told.err
    assert "left out: frame 4: the structure says it has charge" in told.err
    assert [atoms.info["frame_in_file"] for atoms in read(tmp_path / "out.xyz", ":")] == [0, 3, 5]


def test_nothing_predicted_leaves_the_file_as_it_was(tmp_path, capsys):
    write(tmp_path / "in.xyz", bulk("Si"))
    (tmp_path / "out.xyz").write_text("mine")
    assert predict("ethanol", tmp_path / "in.xyz", tmp_path / "out.xyz") == 2
    assert "none of its structures can be predicted: model" in capsys.readouterr().err
    (tmp_path / "in.xyz").write_text("\n\n")
    assert predict("ethanol", tmp_path / "in.xyz", tmp_path / "out.xyz") == 2
    assert "in.xyz: " in capsys.readouterr().err
    assert (tmp_path / "out.xyz").read_text() == "mine"


def test_a_file_damaged_at_its_end_leaves_the_output_as_it_was(tmp_path, capsys):
    write(tmp_path / "in.xyz", conformers())
    text = (tmp_path / "in.xyz").read_text()
    (tmp_path / "in.xyz").write_text(text[: text.rfind("\n", 0, -2)])
    for name in ("out.xyz", "out.db"):
        assert predict("ethanol", tmp_path / "in.xyz", tmp_path / name) == 2
        assert "in.xyz: frame 2" in capsys.readouterr().err
    assert not (tmp_path / "out.xyz").exists()
    with connect(tmp_path / "out.db") as database:
        assert database.count() == 0


@pytest.mark.parametrize(
    ("source", "output", "message"),
    [
        ("in.xyz", "in.xyz", "is read by this command"),
        ("in.xyz", "junk.db", "cannot add structures to the database "),
        ("in.xyz", "out.cif", "predictions are written to .extxyz, .xyz, .npz, .traj or .db"),
        ("in.xyz", "absent/out.xyz", "there is no folder"),
        ("absent.xyz", "out.xyz", "absent.xyz: no such file"),
        (".", "out.xyz", "is a directory"),
    ],
)
def test_names_that_do_not_go_are_refused(tmp_path, capsys, source, output, message):
    write(tmp_path / "in.xyz", conformers(1))
    (tmp_path / "junk.db").write_text("not a database, and longer than the header of one\n" * 9)
    assert predict("ethanol", tmp_path / source, tmp_path / output) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("ase-schnet predict: ")
    assert message in line


def test_molecules_are_taken_out_of_their_boxes(tmp_path, calculator):
    cut = molecule("CH3CH2OH", cell=[15.0] * 3, pbc=True)
    cut.wrap()
    write(tmp_path / "in.xyz", cut)
    assert predict("ethanol", tmp_path / "in.xyz", tmp_path / "out.xyz", "--no-pbc") == 0
    whole = molecule("CH3CH2OH", calculator=calculator)
    found = read(tmp_path / "out.xyz")
    assert found.get_potential_energy() == pytest.approx(whole.get_potential_energy(), abs=1e-5)


@pytest.fixture
def ctrl_c():
    """Python's own handler: a shell that starts the tests in the background has SIGINT ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.slow
def test_ctrl_c_leaves_the_file_as_it_was(tmp_path, capsys):
    write(tmp_path / "in.xyz", conformers(1) * 5000)
    (tmp_path / "out.xyz").write_text("mine")
    begun = tmp_path / f".out.xyz.{os.getpid()}.tmp"

    def interrupt():
        while not (begun.exists() and begun.stat().st_size > 10_000):
            time.sleep(0.005)
        _thread.interrupt_main()

    thread = threading.Thread(target=interrupt, daemon=True)
    thread.start()
    assert predict("ethanol", tmp_path / "in.xyz", tmp_path / "out.xyz") == 130
    thread.join()
    assert "out.xyz is left as it was" in capsys.readouterr().err
    assert (tmp_path / "out.xyz").read_text() == "mine"
    assert not begun.exists()


@pytest.mark.parametrize("suffix", [".xyz", ".traj", ".db"])
def test_structures_are_held_one_by_one(tmp_path, calculator, suffix):
    given, most = [], 0

    def frames():
        nonlocal most
        for _ in range(30):
            atoms = molecule("CH3CH2OH", calculator=calculator)
            given.append(weakref.ref(atoms))
            most = max(most, sum(one() is not None for one in given))
            yield atoms

    assert write_predictions(tmp_path / f"out{suffix}", frames()) == 30
    assert most <= 3


def test_structures_unlike_all_training_are_counted_and_named(tmp_path, capsys):
    source = tmp_path / "frames.xyz"
    frames = conformers(4)
    for k in (1, 3):
        frames[k].positions[0] += 8.0  # torn off
    write(source, frames)
    assert predict("ethanol", source, tmp_path / "out.xyz") == 0
    assert "error bars are infinite: 2 of 4: frames 1, 3" in capsys.readouterr().out


@pytest.mark.parametrize("suffix", [".xyz", ".npz", ".traj", ".db"])
def test_no_structures_do_not_replace_predictions(tmp_path, calculator, suffix):
    path = tmp_path / f"predicted{suffix}"
    frames = conformers(1)
    frames[0].calc = calculator
    assert write_predictions(path, frames) == 1
    before = path.read_bytes()
    with pytest.raises(ValueError, match="there are no structures to write"):
        write_predictions(path, [])
    assert path.read_bytes() == before


@pytest.mark.parametrize("suffix", [".xyz", ".npz", ".traj"])
def test_a_folder_that_is_not_there_is_named_and_no_temporary_file(tmp_path, calculator, suffix):
    frames = conformers(1)
    frames[0].calc = calculator
    with pytest.raises(FileNotFoundError, match=r"no folder to write predicted") as raised:
        write_predictions(tmp_path / "absent" / f"predicted{suffix}", frames)
    assert raised.value.filename == str(tmp_path / "absent")
    assert ".tmp" not in str(raised.value)


def test_a_frame_whose_columns_are_not_what_they_say_is_left_out(tmp_path, capsys):
    """ASE refuses such columns in its own words, which ended the command."""
    frame = "2\nProperties=species:S:1:pos:R:3{}\nC 0 0 0 1{}\nO 0 0 1.1 1{}\n"
    good = frame.format(":tag:R:1", "", "")
    (tmp_path / "two.xyz").write_text(frame.format(":mass:S:1", "x", "x") + good)
    words = ["predict", "organic", str(tmp_path / "two.xyz"), "-o", str(tmp_path / "p.xyz")]
    assert main(words) == 1
    assert "left out: frame 0: cannot be read: line 2: a column" in capsys.readouterr().err
    assert len(read(tmp_path / "p.xyz", ":")) == 1


def test_frames_of_an_xyz_file_that_cannot_be_read_are_left_out_and_named(tmp_path, capsys):
    source, output = tmp_path / "frames.xyz", tmp_path / "out.xyz"
    write(source, conformers(4))
    lines = source.read_text().splitlines(keepends=True)
    lines[2] = lines[2].replace("C ", "X ", 1)  # a dummy atom
    lines[25] = "C 0.1 abc 0.2\n"  # in the third frame
    source.write_text("".join(lines))
    assert predict("ethanol", source, output) == 1
    assert [one.info["frame_in_file"] for one in read(output, ":")] == [1, 3]
    told = capsys.readouterr().err
    assert "left out: frame 0: cannot be read: atom 0 is 'X', which is not an element" in told
    assert "left out: frame 2: cannot be read: line 26" in told
