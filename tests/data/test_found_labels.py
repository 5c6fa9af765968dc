"""What is in a file and not used is said; words are no numbers; units are those of the format that it is."""

import shutil
import subprocess
import sys

import ase.io
import h5py
import numpy as np
import pytest
from ase.build import molecule
from ase.calculators.singlepoint import SinglePointCalculator

from ase_schnet.cli import build_parser, main
from ase_schnet.cli.language import in_options
from ase_schnet.data.formats import read_dataset, read_labelled

HARTREE = 27.211386
WATER = -76.4 * HARTREE


def put_xyz(path, comment, n_frames=3, n_columns=0, end=""):
    """Waters whose comment lines are `comment`, a text or a function of the number of the frame."""
    rng = np.random.default_rng(0)
    lines = []
    for k in range(n_frames):
        atoms = molecule("H2O")
        atoms.rattle(0.02, rng=rng)
        lines += ["3", comment(k) if callable(comment) else comment]
        for symbol, position in zip(atoms.symbols, atoms.positions, strict=True):
            numbers = (*position, *rng.normal(size=n_columns))
            lines.append(" ".join([symbol, *(f"{x:.8f}" for x in numbers)]) + end)
    path.write_text("\n".join(lines) + "\n")
    return path


def arrays(n=4):
    rng = np.random.default_rng(1)
    positions = molecule("H2O").positions + rng.normal(scale=0.02, size=(n, 3, 3))
    return np.array([8, 1, 1]), positions, np.full(n, -76.4), rng.normal(scale=0.05, size=(n, 3, 3))


# ------------------------------------------------------------------ comment lines


@pytest.mark.parametrize(
    "comment",
    [
        "Coordinates from ORCA-job opt E -76.400000000",
        "Coordinates from ORCA-job a=b E -76.400000000",
        " energy: -76.400000000 gnorm: 0.000374058839 xtb: 6.6.1 (conda-forge)",
        "-76.400000000 converged=true",
        "  3 Eopt=-76.400000000 (Eh) Einter=-3.1 (kcal/mol)",
        " i =        0, time =        0.000, E =       -76.4000000000",
        "Iteration 0 Energy  -76.400000000",
    ],
)
def test_energies_in_comment_lines_of_codes_are_hartree(tmp_path, comment):
    path = put_xyz(tmp_path / "code.xyz", comment)
    frames, found = read_labelled(path)
    assert frames[2].get_potential_energy() == pytest.approx(WATER, rel=1e-6)
    assert found.n_energy == 3
    assert "energies from the comment lines, in Hartree" in str(found)
    with pytest.raises(ValueError, match="says its units are Hartree, Ang, but units='eV, Ang'"):
        read_labelled(path, "eV")


@pytest.mark.parametrize(
    "comment",
    [
        "Coordinates from ORCA-job Compound_1",
        "energy forces E stress virial dipole",
        "hello energy forces a=1",
        "energy=T",
        "E=true step=1",
        lambda k: f"{k}",
    ],
)
def test_words_and_truth_values_are_never_labels(tmp_path, comment):
    with pytest.raises(ValueError, match="has no labels under a familiar name"):
        read_labelled(put_xyz(tmp_path / "words.xyz", comment), "eV")


def test_bare_numbers_are_energies_when_that_is_said(tmp_path):
    path = put_xyz(tmp_path / "crest.xyz", lambda k: f"   -76.4{k}")
    with pytest.raises(ValueError, match=r"comment_number \(energy_key='comment_number'\)"):
        read_labelled(path, "Hartree")
    frames, found = read_labelled(path, "Hartree", energy_key="comment_number")
    assert frames[2].get_potential_energy() == pytest.approx(-76.42 * HARTREE, rel=1e-6)
    assert "energies are the numbers in the comment lines" in str(found)
    with pytest.raises(ValueError, match="does not say its units"):
        read_labelled(path, energy_key="comment_number")


def test_a_thousand_names_make_one_short_line(tmp_path):
    path = put_xyz(tmp_path / "many.xyz", " ".join(f"k{i}=1" for i in range(3000)))
    with pytest.raises(
        ValueError, match="it holds 3000 names, such as k0, k1, k10: name"
    ) as caught:
        read_labelled(path, "eV")
    assert len(str(caught.value)) < len(str(path)) + 200


# ------------------------------------------------------------------ columns without a header


def test_columns_without_a_header_are_offered_and_read_as_forces_or_gradients(tmp_path):
    path = put_xyz(tmp_path / "gdml.xyz", lambda k: f"{WATER + k:.6f}", 500, 3)
    with pytest.raises(
        ValueError, match=r"unnamed_columns \(columns='forces' or 'gradient'\)"
    ) as e:
        read_labelled(path, "eV")
    assert len(str(e.value)) < len(str(path)) + 300
    forces, found = read_labelled(path, "eV", columns="forces")
    gradients, _ = read_labelled(path, "eV", columns="gradient")
    assert (found.n_energy, found.n_forces) == (500, 500)
    assert forces[3].get_potential_energy() == pytest.approx(WATER + 3)
    assert np.array_equal(forces[3].get_forces(), -gradients[3].get_forces())
    row = np.array(path.read_text().splitlines()[2].split()[4:], dtype=float)
    assert np.array_equal(forces[0].get_forces()[0], row)


def test_columns_are_named_in_their_order_and_those_not_wanted_left_out(tmp_path):
    path = put_xyz(tmp_path / "c.xyz", f"{WATER}", n_columns=5)
    rows = np.array([line.split()[1:] for line in path.read_text().splitlines()[2:5]], dtype=float)
    frames, _ = read_labelled(path, "eV", columns="-, charge, forces")
    assert np.array_equal(frames[0].get_forces(), rows[:, 5:8])
    for columns, message in (
        ("pos", "columns='pos' are not names of columns behind x y z"),
        ("", "columns= is empty"),
        ("charge, forces, forces, x", "line 3 has 9 columns, 12 are needed"),
    ):
        with pytest.raises(ValueError, match=message):
            read_labelled(path, "eV", columns=columns)
    path = put_xyz(
        tmp_path / "p.xyz", "energy=-1 Properties=species:S:1:pos:R:3:f:R:3", n_columns=3
    )
    with pytest.raises(ValueError, match="the file names its columns itself"):
        read_labelled(path, "eV", columns="forces")
    np.savez(tmp_path / "a.npz", R=np.zeros(3))
    with pytest.raises(ValueError, match="columns= is for xyz files"):
        read_labelled(tmp_path / "a.npz", "eV", columns="forces")


# ------------------------------------------------------------------ what is not used


def test_labels_that_are_not_used_are_named_with_the_option_that_uses_them(tmp_path):
    comment = (
        f'energy={WATER} pbe_energy=-1 dipole_dft="1 2 3" mulliken_charges="1 2 3" magmom=1.0 '
        "Properties=species:S:1:pos:R:3:dft_gradient:R:3"
    )
    path = put_xyz(tmp_path / "a.xyz", comment, n_columns=3)
    frames, found = read_labelled(path, "eV")
    assert str(found).endswith(
        "; not used: dft_gradient (forces_key='-dft_gradient', its negative), dipole_dft, magmom, "
        "mulliken_charges, pbe_energy (energy_key='pbe_energy')"
    )
    with pytest.raises(
        ValueError, match="gradient, which is minus the forces: pass forces_key='-dft_gradient'"
    ):
        read_labelled(path, "eV", forces_key="dft_gradient")
    frames, found = read_labelled(path, "eV", forces_key="-dft_gradient")
    row = np.array(path.read_text().splitlines()[2].split()[4:], dtype=float)
    assert np.array_equal(frames[0].get_forces()[0], -row)
    assert "dft_gradient" not in str(found)


def test_errors_of_predictions_and_names_of_structures_are_no_labels(tmp_path):
    comment = (
        f"energy={WATER} energy_std=0.1 charge=0 config_type=3 time_fs=1 energy_unit=eV name=force"
    )
    _, found = read_labelled(put_xyz(tmp_path / "a.xyz", comment), "eV")
    assert "not used" not in str(found)


def test_of_energy_and_free_energy_the_one_that_is_taken_is_said(tmp_path):
    def comment(k):
        return f"energy={WATER} free_energy={WATER - 0.01 * k}"

    path = put_xyz(tmp_path / "a.xyz", comment)
    frames, found = read_labelled(path, "eV")
    assert frames[2].get_potential_energy() == pytest.approx(WATER)
    assert "energy is read, not free_energy, which differs by up to 0.02" in str(found)
    frames, _ = read_labelled(path, "eV", energy_key="free_energy")
    assert frames[2].get_potential_energy() == pytest.approx(WATER - 0.02)
    path = put_xyz(tmp_path / "b.xyz", f"energy={WATER} free_energy={WATER}")
    assert "free_energy" not in str(read_labelled(path, "eV")[1])


def test_weights_of_a_foreign_file_are_said(tmp_path):
    path = put_xyz(tmp_path / "a.xyz", f"energy={WATER} loss_weight=0.1")
    dataset, (found,) = read_dataset(path, "eV")
    assert dataset.weight == pytest.approx(0.1)
    assert "the file gives weights in the loss to 3 frames (loss_weight)" in str(found)
    path = put_xyz(tmp_path / "b.xyz", f"energy={WATER} loss_weight=0.1 augmented=literal")
    assert "loss_weight" not in str(read_labelled(path, "eV")[1])


def test_keys_of_npz_and_hdf5_that_are_not_used_are_named(tmp_path):
    numbers, positions, energy, forces = arrays()
    extra = {"scf_energy": energy, "hirshfeld_charges": forces[:, :, 0], "smiles": np.array(["O"])}
    np.savez(tmp_path / "a.npz", z=numbers, R=positions, E=energy, F=forces, **extra)
    _, found = read_labelled(tmp_path / "a.npz", "Hartree")
    expected = "; not used: hirshfeld_charges, scf_energy (energy_key='scf_energy')"
    assert str(found).endswith(expected)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        group = file.create_group("water")
        named = {"species": numbers, "coordinates": positions, "energies": energy}
        for name, values in (named | {k: v for k, v in extra.items() if k != "smiles"}).items():
            group[name] = values
    _, found = read_labelled(tmp_path / "a.h5")
    assert str(found).endswith(expected)


# ------------------------------------------------------------------ units by format


@pytest.mark.parametrize("name", ["DATA", "train", "frames.txt", "frames.dat"])
def test_extxyz_asks_for_its_units_under_every_name(tmp_path, name):
    put_xyz(tmp_path / "a.xyz", f"energy={WATER}")
    shutil.copy(tmp_path / "a.xyz", tmp_path / name)
    with pytest.raises(ValueError, match="does not say its units"):
        read_labelled(tmp_path / name)
    assert read_labelled(tmp_path / name, "eV")[1].n_energy == 3


def test_trajectories_and_archives_are_known_under_every_name(tmp_path):
    atoms = molecule("H2O")
    atoms.calc = SinglePointCalculator(atoms, energy=WATER)
    ase.io.write(tmp_path / "a.traj", atoms)
    shutil.copy(tmp_path / "a.traj", tmp_path / "trajectory")
    assert str(read_labelled(tmp_path / "trajectory")[1].units) == "eV, Ang, e*Ang"
    numbers, positions, energy, forces = arrays()
    np.savez(tmp_path / "a.npz", z=numbers, R=positions, E=energy, F=forces)
    shutil.copy(tmp_path / "a.npz", tmp_path / "archive")
    assert read_labelled(tmp_path / "archive", "Hartree")[1].n_forces == 4
    ase.io.write(tmp_path / "a.db", atoms)
    shutil.copy(tmp_path / "a.db", tmp_path / "rows")
    assert read_labelled(tmp_path / "rows")[1].n_energy == 1


def test_units_are_overruled_where_only_the_size_of_energies_speaks_against_them(tmp_path):
    """Alumina's valence energy is near that of all its electrons read in Rydberg."""
    lines = ["5", f"energy={-(2 * 2.1 + 3 * 15.8 + 1.0) * HARTREE}"]
    positions = [(0, 0, 0), (0, 0, 2.6), (1.5, 0, 1.3), (-0.8, 1.3, 1.3), (-0.8, -1.3, 1.3)]
    lines += [
        f"{s} {x} {y} {z}"
        for s, (x, y, z) in zip(("A", "A", "O", "O", "O"), positions, strict=True)
    ]
    path = tmp_path / "alumina.xyz"
    path.write_text("\n".join(lines).replace("A ", "Al ") + "\n")
    with pytest.raises(
        ValueError, match=r"without forces this is a guess.*trust_units=True"
    ) as caught:
        read_labelled(path, "eV")
    assert "pass units" not in str(caught.value)
    frames, _ = read_labelled(path, "eV", trust_units=True)
    assert frames[0].get_potential_energy() == pytest.approx(-52.6 * HARTREE)


# ------------------------------------------------------------------ layouts


def test_plain_names_in_npz_are_read_with_their_cells(tmp_path):
    numbers, positions, energy, forces = arrays()
    plain = {"atomic_numbers": numbers, "positions": positions, "energy": energy}
    np.savez(tmp_path / "a.npz", **plain, forces=forces)
    frames, found = read_labelled(tmp_path / "a.npz", "Hartree")
    assert (found.n_energy, found.n_forces) == (4, 4)
    assert frames[1].get_forces() == pytest.approx(forces[1] * HARTREE, rel=1e-6)
    assert not frames[0].pbc.any()
    np.savez(tmp_path / "g.npz", **plain, gradients=forces)
    frames, _ = read_labelled(tmp_path / "g.npz", "Hartree")
    assert frames[1].get_forces() == pytest.approx(-forces[1] * HARTREE, rel=1e-6)
    cell = np.array([[9.0, 0, 0], [1, 9, 0], [0, 0, 9]])
    np.savez(tmp_path / "c.npz", **plain, cell=cell, pbc=np.array([True, True, False]))
    atoms = read_labelled(tmp_path / "c.npz", "Hartree")[0][2]
    assert np.array_equal(atoms.cell.array, cell)
    assert atoms.pbc.tolist() == [True, True, False]
    np.savez(tmp_path / "s.npz", z=numbers, R=positions, E=energy, F=forces, lattice=cell)
    atoms = read_labelled(tmp_path / "s.npz", "Hartree")[0][2]
    assert np.array_equal(atoms.cell.array, cell.T)  # sGDML writes columns
    ragged = np.array([positions[0], positions[1, :2]], dtype=object)
    np.savez(tmp_path / "o.npz", atomic_numbers=numbers, positions=ragged, energy=energy[:2])
    with pytest.raises(ValueError, match=r"positions holds pickled .* padded with zeros"):
        read_labelled(tmp_path / "o.npz", "Hartree")


@pytest.mark.parametrize("species", ["of each conformer", "of the group", "symbols", "padded"])
def test_forces_of_ani_2x_and_torchani_are_read(tmp_path, species):
    numbers, positions, energy, forces = arrays()
    if species == "padded":
        pad = ((0, 0), (0, 1), (0, 0))
        positions, forces = np.pad(positions, pad), np.pad(forces, pad)
    names = {
        "of each conformer": np.tile(numbers, (4, 1)),
        "of the group": numbers,
        "symbols": np.array([b"O", b"H", b"H"]),
        "padded": np.tile([8, 1, 1, -1], (4, 1)),
    }
    with h5py.File(tmp_path / "ani.h5", "w") as file:
        group = file.create_group("003")
        group["species"], group["coordinates"] = names[species], positions
        group["energies"], group["forces"] = energy, forces
    frames, found = read_labelled(tmp_path / "ani.h5")
    assert (found.n_energy, found.n_forces) == (4, 4)
    assert str(frames[3].symbols) == "OH2"
    assert frames[3].get_forces() == pytest.approx(forces[3, :3] * HARTREE, rel=1e-6)


@pytest.fixture
def deepmd(tmp_path):
    """A directory as DeePMD-kit has it, of two sets, with a virial."""
    _, positions, energy, forces = arrays()
    root = tmp_path / "system"
    for k, part in enumerate((slice(0, 3), slice(3, 4))):
        folder = root / f"set.00{k}"
        folder.mkdir(parents=True)
        n = part.stop - part.start
        np.save(folder / "coord.npy", positions[part].reshape(n, 9).astype(np.float32))
        np.save(folder / "box.npy", np.tile(np.eye(3).ravel() * 12, (n, 1)))
        np.save(folder / "energy.npy", energy[part] * HARTREE)
        np.save(folder / "force.npy", forces[part].reshape(n, 9))
        np.save(folder / "virial.npy", np.tile(np.diag([1.0, 2, 3]).ravel(), (n, 1)))
    (root / "type.raw").write_text("1\n0\n0\n")
    (root / "type_map.raw").write_text("H\nO\n")
    return root


def test_a_directory_of_deepmd_is_read_as_one_file(deepmd):
    frames, found = read_labelled(deepmd)
    _, positions, _, forces = arrays()
    assert (found.n_frames, found.n_energy, found.n_forces, found.n_stress) == (4, 4, 4, 4)
    assert frames[3].positions == pytest.approx(positions[3], abs=1e-6)
    assert frames[3].get_forces() == pytest.approx(forces[3])
    assert str(frames[0].symbols) == "OH2"
    assert frames[0].pbc.all()
    assert frames[0].get_stress() == pytest.approx([-1 / 1728, -2 / 1728, -3 / 1728, 0, 0, 0])
    before = found.sha256
    (deepmd / "set.001" / "energy.npy").write_bytes((deepmd / "set.000/energy.npy").read_bytes())
    with pytest.raises(ValueError, match=r"set\.001/energy\.npy has 3 frames, coord has 1"):
        read_labelled(deepmd)
    np.save(deepmd / "set.001" / "energy.npy", np.array([WATER + 1]))
    assert read_labelled(deepmd)[1].sha256 != before


def test_directories_of_deepmd_that_cannot_be_read_say_what_is_missing(deepmd):
    with pytest.raises(ValueError, match=r"without type\.raw, .*name the systems in it: system"):
        read_labelled(deepmd.parent)
    (deepmd / "type_map.raw").write_text("Q\nO\n")
    with pytest.raises(ValueError, match="'Q' is not an element"):
        read_labelled(deepmd)
    (deepmd / "type_map.raw").unlink()
    with pytest.raises(ValueError, match=r"write type_map\.raw with the element of each type"):
        read_labelled(deepmd)
    (deepmd / "type_map.raw").write_text("H\nO\n")
    (deepmd / "set.000" / "box.npy").unlink()
    with pytest.raises(ValueError, match=r"set\.000 has no box; .* add an empty file nopbc"):
        read_labelled(deepmd)
    (deepmd / "nopbc").touch()
    assert not read_labelled(deepmd)[0][0].pbc.any()
    (deepmd / "set.000" / "force.npy").write_bytes(b"\x93NUMPY")
    with pytest.raises(ValueError, match=r"force\.npy cannot be read .*is it complete"):
        read_labelled(deepmd)


def test_mixed_types_and_text_files_of_deepmd(tmp_path):
    _, positions, energy, forces = arrays()
    root = tmp_path / "mixed"
    (root / "set.000").mkdir(parents=True)
    (root / "nopbc").touch()
    (root / "type.raw").write_text("0\n0\n0\n")
    (root / "type_map.raw").write_text("H\nO\n")
    np.save(root / "set.000" / "coord.npy", positions.reshape(4, 9))
    np.save(root / "set.000" / "force.npy", forces.reshape(4, 9))
    np.save(root / "set.000" / "energy.npy", energy * HARTREE / 76)
    np.save(
        root / "set.000" / "real_atom_types.npy",
        np.array([[1, 0, 0], [1, 0, -1], [0, 0, -1], [1, 0, 0]]),
    )
    frames, _ = read_labelled(root)
    assert [str(atoms.symbols) for atoms in frames] == ["OH2", "OH", "H2", "OH2"]
    assert np.array_equal(frames[1].get_forces(), forces[1, :2])
    text = tmp_path / "text"
    text.mkdir()
    (text / "nopbc").touch()
    (text / "type.raw").write_text("1 0 0\n")
    (text / "type_map.raw").write_text("H O")
    np.savetxt(text / "coord.raw", positions.reshape(4, 9))
    np.savetxt(text / "energy.raw", energy * HARTREE)
    frames, found = read_labelled(text)
    assert (found.n_energy, found.n_forces) == (4, 0)
    assert frames[3].positions == pytest.approx(positions[3])


def test_liquid_water_of_deepmd_is_read(shared_data):
    path = shared_data("deepmd-water", "data", "data_1")
    frames, found = read_labelled(path)
    assert (found.n_frames, found.n_forces) == (160, 160)
    assert frames[0].symbols.get_chemical_formula() == "H128O64"
    assert frames[0].get_potential_energy() == pytest.approx(-29943, abs=3)


# ------------------------------------------------------------------ the command line


def test_a_training_that_lacks_labels_names_those_that_the_file_has(tmp_path, capsys):
    comment = f"energy={WATER} Properties=species:S:1:pos:R:3:mp2_forces:R:3"
    path = put_xyz(tmp_path / "a.xyz", comment, n_columns=3)
    assert main(["train", str(path), "-o", str(tmp_path / "m"), "--units", "eV"]) == 2
    output = capsys.readouterr()
    assert "; not used: mp2_forces (--forces-key mp2_forces)" in output.out
    last = output.err.strip().splitlines()[-1]
    assert last == (
        "ase-schnet train: no forces found in the data (a.xyz: not used: mp2_forces (--forces-key "
        "mp2_forces)); --forces-weight 0 trains without"
    )


@pytest.mark.parametrize(
    ("comment", "options", "message"),
    [
        (f"energy={WATER}", [], "pass --units kcal/mol, or what else they are"),
        ('dipole="1 2 3"', ["--units", "eV"], "pass --units 'eV, Ang, Debye'"),
        (f"grad_energy={WATER}", ["--units", "eV"], "with --energy-key and --forces-key"),
        (
            f"energy={WATER}",
            ["--units", "eV", "--forces-key", "gradient"],
            "pass --forces-key=-gradient",
        ),
        (f"{WATER}", ["--units", "eV"], "--energy-key comment_number"),
        (f"energy={-76.4}", ["--units", "eV"], "--trust-units if eV is right"),
    ],
)
def test_errors_speak_of_options(tmp_path, capsys, comment, options, message):
    path = put_xyz(tmp_path / "a.xyz", comment)
    assert main(["train", str(path), "-o", str(tmp_path / "m"), *options]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert message in error
    assert "units='" not in error
    assert "_key" not in error


def test_arguments_of_python_are_options_of_the_command_that_has_them(tmp_path, capsys):
    ase.io.write(tmp_path / "ethanol.xyz", molecule("CH3CH2OH"))
    command = ["md", "ethanol", str(tmp_path / "ethanol.xyz"), "-o", str(tmp_path / "run")]
    assert main([*command, "--timestep", "-1"]) == 2
    error = capsys.readouterr().err
    assert "--timestep" in error
    assert "timestep_fs" not in error


@pytest.mark.parametrize(
    ("command", "hint"),
    [
        (
            ["train", "a.xyz", "-o", "m", "--unit-s", "eV"],
            "did you mean --units instead of --unit-s?",
        ),
        (["md", "a", "b", "-o", "r", "--temprature", "300"], "did you mean --temperature"),
        (["scan", "a", "b", "--from", "1", "--to", "2", "--relax-ed"], "did you mean --relaxed"),
    ],
)
def test_a_misspelt_option_prints_the_usage_of_its_own_command(command, hint, capsys):
    with pytest.raises(SystemExit) as caught:
        main(command)
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith(f"usage: ase-schnet {command[0]} ")
    assert hint in error


def test_names_of_files_are_not_taken_for_arguments():
    parser = build_parser().parse_args(["train", "a.xyz", "-o", "m"]).parser
    for text in ("/data/energy_key.xyz: is empty", "energy_key.xyz: no units", "units of the file"):
        assert in_options(text, parser) == text
    said = in_options(
        "energy_key= and forces_key='-a b' or trust_units=True, units='eV, Ang'", parser
    )
    assert said == "--energy-key and --forces-key='-a b' or --trust-units, --units 'eV, Ang'"


def test_the_options_of_all_commands_need_no_numpy():
    """Help must come at once: the modules of commands import what is heavy inside functions."""
    code = (
        "import sys; from ase_schnet.cli import build_parser; build_parser();"
        "print([m for m in ('numpy', 'ase', 'scipy', 'torch') if m in sys.modules])"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
