"""`ase-schnet predict` for many structures: npz files, bad frames, memory, and what a kill leaves."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from ase.build import molecule
from ase.io import read, write

from ase_schnet import SchNetCalculator, read_labelled, write_predictions
from ase_schnet.cli import main


def frames_of(n):
    frames = [molecule("CH3CH2OH") for _ in range(n)]
    for k, atoms in enumerate(frames):
        atoms.rattle(0.02, seed=k)
    return frames


def predict(source, output, *more):
    return main(["predict", "ethanol", str(source), "-o", str(output), *more])


def save_rmd17(path, frames, **more):
    np.savez(
        path,
        nuclear_charges=frames[0].numbers.astype(np.uint8),
        coords=np.array([a.positions for a in frames]),
        **more,
    )


def test_npz_in_and_out_is_what_the_calculator_says_to_the_last_bit(tmp_path, capsys):
    frames = frames_of(40)
    save_rmd17(tmp_path / "in.npz", frames, energies=np.zeros(40))
    assert predict(tmp_path / "in.npz", tmp_path / "out.npz") == 0
    said = capsys.readouterr().out
    assert "40 structures with energy (eV), energy_std, energy_error, forces (eV/Å)" in said
    calculator = SchNetCalculator("ethanol")
    found = np.load(tmp_path / "out.npz")
    names = {"E": "energy", "F": "forces", "E_std": "energy_std", "F_std": "forces_std"}
    names |= {"E_error": "energy_error", "F_error": "forces_error"}
    for k, atoms in enumerate(frames):
        calculator.calculate(atoms)
        for key, name in names.items():
            np.testing.assert_array_equal(found[key][k], calculator.results[name])
    np.testing.assert_array_equal(found["R"], [a.positions for a in frames])
    np.testing.assert_array_equal(found["z"], frames[0].numbers)
    np.testing.assert_array_equal(found["frame_in_file"], np.arange(40))
    assert found["error_level"] == 0.9
    assert "dipole" not in found.files


def test_an_npz_file_of_predictions_is_read_as_labels(tmp_path):
    frames, calculator = frames_of(3), SchNetCalculator("ethanol")
    for atoms in frames:
        atoms.calc = calculator
    assert write_predictions(tmp_path / "out.npz", frames) == 3
    for atoms, read_back in zip(frames, read_labelled(tmp_path / "out.npz")[0], strict=True):
        assert read_back.get_potential_energy() == atoms.get_potential_energy()
        np.testing.assert_array_equal(read_back.get_forces(), atoms.get_forces())


@pytest.mark.parametrize("compressed", [False, True])
def test_other_layouts_units_and_orders_of_the_axes_are_read(tmp_path, compressed):
    frames = frames_of(5)
    positions = np.array([a.positions for a in frames])
    save = np.savez_compressed if compressed else np.savez
    # PhysNet, padded by an atom; sGDML in Bohr; columns first
    padded = np.concatenate([positions, np.zeros((5, 1, 3))], axis=1)
    numbers = np.tile([*frames[0].numbers, 0], (5, 1))
    save(tmp_path / "0.npz", Z=numbers, R=padded, N=np.full(5, 9), E=np.zeros(5), Q=np.zeros(5))
    bohr = 0.5291772105638411
    save(tmp_path / "1.npz", z=frames[0].numbers, R=positions / bohr, r_unit="Bohr")
    save(tmp_path / "2.npz", z=frames[0].numbers, R=np.asfortranarray(positions))
    for k in range(3):
        assert predict(tmp_path / f"{k}.npz", tmp_path / "out.npz") == 0
        np.testing.assert_allclose(np.load(tmp_path / "out.npz")["R"], positions, atol=1e-12)


def test_charged_frames_of_an_npz_file_are_left_out(tmp_path, capsys):
    frames = frames_of(4)
    save_rmd17(tmp_path / "in.npz", frames)
    stored = dict(np.load(tmp_path / "in.npz"))
    np.savez(
        tmp_path / "in.npz",
        **{"Z": np.tile(stored["nuclear_charges"], (4, 1)), "R": stored["coords"]},
        **{"N": np.full(4, 9), "Q": np.array([0.0, 1.0, 0.0, 0.0])},
    )
    assert predict(tmp_path / "in.npz", tmp_path / "out.npz") == 1
    assert "left out: frame 1: the structure says it has charge +1" in capsys.readouterr().err
    assert np.load(tmp_path / "out.npz")["frame_in_file"].tolist() == [0, 2, 3]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"coords": np.zeros((2, 9, 3))}, "of no known layout"),
        ({"z": np.ones(9), "R": np.zeros((2, 9))}, "R has shape (2, 9), not (frames, atoms, 3)"),
        (
            {"R": np.zeros((2, 9, 3))},
            "has keys R, of no known layout (numbers and positions: nuclear",
        ),
        ({"z": np.ones(8), "R": np.zeros((2, 9, 3))}, "z has shape (8,), which does not fit R"),
        ({"z": np.ones(2), "R": np.array([["a"]])}, "R holds <U1, not numbers"),
        ({"z": np.ones(2), "R": np.array([{}], object)}, "R holds object, not numbers"),
        (
            {"z": np.ones(1), "R": np.zeros((1, 1, 3)), "lattice": np.eye(3)},
            "has cells, and is read here for molecules only",
        ),
    ],
)
def test_an_npz_file_of_something_else_is_refused(tmp_path, capsys, arrays, message):
    np.savez(tmp_path / "in.npz", **arrays)
    assert predict(tmp_path / "in.npz", tmp_path / "out.xyz") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{tmp_path / 'in.npz'}: " in line
    assert message in line
    assert line.count("Z R") < 2  # each layout is named once


def test_a_damaged_npz_file_leaves_the_output_as_it_was(tmp_path, capsys):
    save_rmd17(tmp_path / "in.npz", frames_of(50))
    whole = (tmp_path / "in.npz").read_bytes()
    (tmp_path / "out.npz").write_text("mine")
    (tmp_path / "in.npz").write_bytes(whole[: len(whole) // 2])
    assert predict(tmp_path / "in.npz", tmp_path / "out.npz") == 2
    assert "is not a readable npz archive" in capsys.readouterr().err
    at = whole.index(np.array([a.positions for a in frames_of(50)])[20].tobytes())
    (tmp_path / "in.npz").write_bytes(whole[:at] + b"\0" * 64 + whole[at + 64 :])
    assert predict(tmp_path / "in.npz", tmp_path / "out.npz") == 2
    assert "coords cannot be read (Bad CRC-32" in capsys.readouterr().err
    assert (tmp_path / "out.npz").read_text() == "mine"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.npz", "out.npz"]


def test_npz_files_hold_molecules_of_the_same_atoms(tmp_path, capsys):
    frames = frames_of(3)
    frames[2] = frames[2][[1, 0, *range(2, 9)]]
    frames[2].numbers[:] = frames[2].numbers[::-1]
    write(tmp_path / "in.xyz", frames)
    (tmp_path / "out.npz").write_text("mine")
    assert predict(tmp_path / "in.xyz", tmp_path / "out.npz") == 2
    assert "structure 2 has other atoms than the first one" in capsys.readouterr().err
    frames[2] = molecule("CH3CH2OH", cell=[30.0] * 3, pbc=True)
    write(tmp_path / "in.xyz", frames)
    assert predict(tmp_path / "in.xyz", tmp_path / "out.npz") == 2
    assert "structure 2 is periodic" in capsys.readouterr().err
    assert (tmp_path / "out.npz").read_text() == "mine"


def test_bad_frames_between_good_ones_are_counted_and_named(tmp_path, capsys):
    frames = frames_of(60)
    for k in (5, 6, 31):
        frames[k].positions[3] = frames[k].positions[2]
    frames[40].numbers[0] = 14
    write(tmp_path / "in.xyz", frames)
    for suffix in (".xyz", ".npz"):
        assert predict(tmp_path / "in.xyz", tmp_path / f"out{suffix}") == 1
        told = capsys.readouterr()
        assert "56 structures with" in told.out
        assert "left out: frames 5-6, 31: atoms 2 and 3 are in the same place" in told.err
        assert "left out: frame 40: model" in told.err
    kept = [k for k in range(60) if k not in (5, 6, 31, 40)]
    assert [a.info["frame_in_file"] for a in read(tmp_path / "out.xyz", ":")] == kept
    assert np.load(tmp_path / "out.npz")["frame_in_file"].tolist() == kept


@pytest.mark.parametrize("suffix", [".xyz", ".npz"])
def test_a_file_is_the_same_for_any_number_of_threads(tmp_path, suffix):
    write(tmp_path / "in.xyz", frames_of(50))
    written = []
    for threads in (1, 3):
        out = tmp_path / f"out{suffix}"
        assert predict(tmp_path / "in.xyz", out, "--threads", str(threads)) == 0
        written.append(out.read_bytes() if suffix == ".xyz" else dict(np.load(out)))
    if suffix == ".xyz":
        assert written[0] == written[1]
    else:
        for key, array in written[0].items():
            np.testing.assert_array_equal(array, written[1][key])


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGTERM") or os.name == "nt", reason="Unix signals")
def test_memory_does_not_grow_with_the_file(tmp_path):
    code = (
        "import resource, sys; from ase_schnet.cli import main; main(sys.argv[1:]); "
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)"
    )
    peaks = []
    for n in (500, 15_000):
        save_rmd17(tmp_path / "in.npz", [molecule("CH3CH2OH")] * n)
        command = [sys.executable, "-c", code, "predict", "ethanol", str(tmp_path / "in.npz")]
        done = subprocess.run(
            [*command, "-o", str(tmp_path / "out.npz")], capture_output=True, text=True, check=True
        )
        peaks.append(int(done.stdout.split()[-1]))
    # 15,000 frames of positions, forces, stds and error bars are 13 MiB
    assert peaks[1] - peaks[0] < 8, peaks


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Unix signals")
def test_a_killed_command_leaves_the_output_as_it_was_and_the_next_one_writes_it(tmp_path):
    write(tmp_path / "in.xyz", frames_of(1) * 3000)
    (tmp_path / "out.npz").write_text("mine")
    command = [sys.executable, "-m", "ase_schnet", "predict", "ethanol"]
    command += [str(tmp_path / "in.xyz"), "-o", str(tmp_path / "out.npz")]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not list(tmp_path.glob(".out.npz.*/F")) and process.poll() is None:
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert (tmp_path / "out.npz").read_text() == "mine"
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    assert len(np.load(tmp_path / "out.npz")["E"]) == 3000
