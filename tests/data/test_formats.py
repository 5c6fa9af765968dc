"""One reader for all files: right labels in right units, or one line that says what to do."""

import io
import pickle
import warnings

import ase.db
import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.calculator import PropertyNotImplementedError
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixAtoms

from ase_schnet.data.formats import read_dataset, read_labelled
from ase_schnet.units import FileUnits

KCAL = 4184 / 96485.33212  # eV per kcal/mol, CODATA 2018
BOHR = 0.529177210903
RMD17 = [
    *("aspirin", "azobenzene", "benzene", "ethanol", "malonaldehyde"),
    *("naphthalene", "paracetamol", "salicylic", "toluene", "uracil"),
]
ENERGY_EV = -4210.0  # of ethanol, about, with all electrons


@pytest.fixture
def ethanol():
    """Five displaced ethanols with made-up labels: energies of -4210 eV, forces near 1 eV/Å."""
    rng = np.random.default_rng(7)
    frames = []
    for _ in range(5):
        atoms = molecule("CH3CH2OH")
        atoms.rattle(0.03, rng=rng)
        forces = rng.normal(size=(9, 3))
        atoms.calc = SinglePointCalculator(
            atoms, energy=ENERGY_EV + rng.normal(), forces=forces, dipole=rng.normal(size=3)
        )
        frames.append(atoms)
    return frames


def energies_of(frames):
    return np.array([atoms.get_potential_energy() for atoms in frames])


def forces_of(frames):
    return np.array([atoms.get_forces() for atoms in frames])


def md17_arrays(frames, energy_unit=KCAL):
    return {
        "z": frames[0].numbers.astype(np.uint8),
        "R": np.array([atoms.positions for atoms in frames]),
        "E": energies_of(frames)[:, None] / energy_unit,
        "F": forces_of(frames) / energy_unit,
    }


def write_npz(path, **arrays):
    np.savez_compressed(path, **arrays)
    return path


def write_text(path, text):
    path.write_text(text)
    return path


# ------------------------------------------------------------------ npz


def test_md17_npz_comes_out_in_eV_and_angstrom(tmp_path, ethanol):
    path = write_npz(tmp_path / "md17.npz", **md17_arrays(ethanol))
    frames, found = read_labelled(path, "kcal/mol")
    assert energies_of(frames) == pytest.approx(energies_of(ethanol), rel=1e-7)
    assert forces_of(frames) == pytest.approx(forces_of(ethanol), rel=1e-7)
    assert frames[3].positions == pytest.approx(ethanol[3].positions)
    assert frames[0].symbols.get_chemical_formula() == "C2H6O"
    assert isinstance(frames[0].get_potential_energy(), float)
    assert (found.n_frames, found.n_energy, found.n_forces, found.n_dipole) == (5, 5, 5, 0)
    assert str(found) == (
        "md17.npz: 5 frames; energy 5/5, forces 5/5, dipole 0/5; kcal/mol, Ang -> eV, Ang"
    )


def test_bohr_scales_positions_up_and_forces_down(tmp_path, ethanol):
    arrays = md17_arrays(ethanol, energy_unit=27.211386245988)
    arrays["R"] /= BOHR
    arrays["F"] *= BOHR
    frames, found = read_labelled(write_npz(tmp_path / "au.npz", **arrays), "Hartree, Bohr")
    assert found.units == FileUnits("Hartree", "Bohr")
    assert frames[0].positions == pytest.approx(ethanol[0].positions, rel=1e-7)
    assert forces_of(frames) == pytest.approx(forces_of(ethanol), rel=1e-7)


@pytest.mark.parametrize("as_bytes", [False, True])
def test_sgdml_npz_says_its_units_itself(tmp_path, ethanol, as_bytes):
    text = np.bytes_ if as_bytes else np.str_
    path = write_npz(
        tmp_path / "s.npz", **md17_arrays(ethanol), e_unit=text("kcal/mol"), r_unit=text("Ang")
    )
    frames, _ = read_labelled(path)
    assert energies_of(frames) == pytest.approx(energies_of(ethanol), rel=1e-7)
    with pytest.raises(ValueError, match="says its units are kcal/mol, Ang, but units='eV, Ang'"):
        read_labelled(path, "eV")


def test_rmd17_npz_has_two_sets_of_labels_that_do_not_mix(tmp_path, ethanol):
    md17 = md17_arrays(ethanol)
    path = write_npz(
        tmp_path / "rmd17.npz",
        nuclear_charges=md17["z"],
        coords=md17["R"],
        energies=md17["E"].ravel(),
        forces=md17["F"],
        old_energies=md17["E"].ravel() - 100.0,
        old_forces=md17["F"] * 0.5,
    )
    frames, found = read_labelled(path)  # kcal/mol by definition of the data set
    assert found.units == FileUnits("kcal/mol")
    old, _ = read_labelled(path, energy_key="old_energies", forces_key="old_forces")
    assert energies_of(old) == pytest.approx(energies_of(frames) - 100.0 * KCAL, rel=1e-7)
    assert forces_of(old) == pytest.approx(0.5 * forces_of(frames))
    with pytest.raises(ValueError, match="different levels of theory"):
        read_labelled(path, energy_key="old_energies")


def test_padding_of_physnet_npz_is_cut_and_its_dipoles_are_eAng(tmp_path):
    water, methane = molecule("H2O"), molecule("CH4")
    numbers, positions = np.zeros((2, 5), int), np.zeros((2, 5, 3))
    for i, atoms in enumerate((water, methane)):
        numbers[i, : len(atoms)], positions[i, : len(atoms)] = atoms.numbers, atoms.positions
    arrays = {
        "Z": numbers,
        "R": positions,
        "N": np.array([3, 5]),
        "E": np.array([-10.0, -18.0]),  # eV, relative to free atoms
        "F": np.where(numbers[..., None] > 0, 0.5, 0.0) * np.ones(3),
        "D": np.array([[0.0, 0.0, 0.4], [0.0, 0.0, 0.0]]),
    }
    frames, found = read_labelled(write_npz(tmp_path / "p.npz", **arrays), "eV")
    assert [str(atoms.symbols) for atoms in frames] == ["OH2", "CH4"]
    assert frames[0].get_forces().shape == (3, 3)
    assert frames[0].get_dipole_moment() == pytest.approx([0.0, 0.0, 0.4])
    assert found.n_dipole == 2
    arrays["N"][0] = 4
    with pytest.raises(ValueError, match="frame 0: Z does not have N = 4 atoms"):
        read_labelled(write_npz(tmp_path / "q.npz", **arrays), "eV")


# ------------------------------------------------------- xyz, traj, db


def test_extxyz_needs_units_and_takes_the_users(tmp_path, ethanol):
    path = tmp_path / "ethanol.xyz"
    ase.io.write(path, ethanol, format="extxyz")
    with pytest.raises(ValueError, match=r"ethanol\.xyz: does not say its units: pass units="):
        read_labelled(path)
    frames, found = read_labelled(path, "eV")
    assert energies_of(frames) == pytest.approx(energies_of(ethanol))
    assert forces_of(frames) == pytest.approx(forces_of(ethanol), abs=1e-7)
    # The unit of a dipole does not follow from that of the energy: skipped, and said so.
    assert (found.n_dipole, found.n_dipole_skipped) == (0, 5)
    assert "5 skipped, unit unknown: pass units='eV, Ang, Debye'" in str(found)
    frames, _ = read_labelled(path, "eV, Ang, Debye")
    expected = ethanol[0].get_dipole_moment() * 0.2081943
    assert frames[0].get_dipole_moment() == pytest.approx(expected, rel=1e-6)


def test_dipoles_alone_need_their_unit(tmp_path, ethanol):
    for atoms in ethanol:
        del atoms.calc.results["energy"], atoms.calc.results["forces"]
    path = tmp_path / "dipoles.xyz"
    ase.io.write(path, ethanol, format="extxyz")
    with pytest.raises(ValueError, match="holds dipoles but not their unit: pass units='eV, Ang, "):
        read_labelled(path, "eV")
    _, found = read_labelled(path, "eV, Ang, Debye")
    assert (found.n_energy, found.n_dipole) == (0, 5)


def test_what_was_read_can_be_written_and_read_again_without_units(tmp_path, ethanol):
    first = write_npz(tmp_path / "md17.npz", **md17_arrays(ethanol))
    frames, _ = read_labelled(first, "kcal/mol")
    ase.io.write(tmp_path / "again.xyz", frames, format="extxyz")
    again, found = read_labelled(tmp_path / "again.xyz")
    assert found.units.energy == "eV"
    assert energies_of(again) == pytest.approx(energies_of(ethanol), rel=1e-7)


@pytest.mark.parametrize(
    ("energy_name", "forces_name"),
    [("REF_energy", "REF_forces"), ("dft_energy", "force"), ("E", "F")],
)
def test_labels_under_common_names_are_found(tmp_path, ethanol, energy_name, forces_name):
    expected = energies_of(ethanol)
    for atoms in ethanol:
        atoms.info[energy_name] = atoms.get_potential_energy()
        atoms.set_array(forces_name, atoms.get_forces())
        atoms.info["units"] = "eV"
        atoms.calc = None
    path = tmp_path / "named.extxyz"
    ase.io.write(path, ethanol)
    frames, found = read_labelled(path)
    assert energies_of(frames) == pytest.approx(expected)
    assert found.n_forces == 5
    assert energy_name not in frames[0].info  # no second copy that could be in another unit


def test_the_users_key_goes_before_what_ase_recognised(tmp_path, ethanol):
    for atoms in ethanol:
        atoms.info["ccsd"] = -4213.0
    path = tmp_path / "two.xyz"
    ase.io.write(path, ethanol, format="extxyz")
    frames, _ = read_labelled(path, "eV", energy_key="ccsd")
    assert energies_of(frames) == pytest.approx(-4213.0)
    with pytest.raises(ValueError, match="has no 'mp2'; it holds ccsd, dipole, energy, forces"):
        read_labelled(path, "eV", energy_key="mp2")


def test_labels_of_two_names_are_never_mixed(tmp_path, ethanol):
    for atoms in ethanol[2:]:
        atoms.info["REF_energy"] = -4000.0
        atoms.calc = None
    path = tmp_path / "mixed.xyz"
    ase.io.write(path, ethanol, format="extxyz")
    frames, found = read_labelled(path, "eV")
    assert found.n_energy == 2
    with pytest.raises(PropertyNotImplementedError):
        frames[2].get_potential_energy()


def test_labels_under_unfamiliar_names_are_named_in_the_error(tmp_path, ethanol):
    for atoms in ethanol:
        atoms.info["pbe_total"] = -1.0
        atoms.set_array("gradient", atoms.get_forces())
        atoms.calc = None
    path = tmp_path / "odd.xyz"
    ase.io.write(path, ethanol, format="extxyz")
    with pytest.raises(ValueError, match="it holds gradient, pbe_total: name them with energy_key"):
        read_labelled(path, "eV")
    with pytest.raises(ValueError, match="a gradient, which is minus the forces"):
        read_labelled(path, "eV", forces_key="gradient")


def test_frames_that_disagree_about_units_are_refused(tmp_path, ethanol):
    ethanol[0].info["units"] = "eV"
    path = tmp_path / "two.xyz"
    ase.io.write(path, ethanol, format="extxyz")
    with pytest.raises(ValueError, match="frame 1 says its units are None, frame 0 eV"):
        read_labelled(path)


def test_a_trajectory_of_ase_is_in_eV_and_keeps_stress_and_true_forces(tmp_path):
    atoms = bulk("Cu", cubic=True)
    atoms.rattle(0.1, seed=1)
    atoms.set_constraint(FixAtoms([0]))
    atoms.calc = EMT()
    with ase.io.Trajectory(tmp_path / "cu.traj", "w") as trajectory:
        atoms.get_stress()
        trajectory.write(atoms)
    (frame,), found = read_labelled(tmp_path / "cu.traj")
    assert found.n_stress == 1
    assert frame.get_stress() == pytest.approx(atoms.get_stress())
    # ASE zeroes the forces of fixed atoms, which are not the forces of the potential.
    assert frame.get_forces() == pytest.approx(atoms.get_forces(apply_constraint=False))
    assert frame.pbc.all()


def test_stress_is_energy_per_volume_in_the_units_of_the_file(tmp_path):
    atoms = bulk("Cu", cubic=True)
    full = np.array([[0.1, 0.6, 0.5], [0.6, 0.2, 0.4], [0.5, 0.4, 0.3]])
    atoms.calc = SinglePointCalculator(atoms, energy=-15.0, stress=full)
    atoms.info["units"] = "Hartree, Bohr"
    atoms.set_cell(atoms.cell / BOHR, scale_atoms=True)
    path = tmp_path / "stress.xyz"
    atoms.calc.atoms = atoms.copy()
    ase.io.write(path, atoms, format="extxyz")
    (frame,), _ = read_labelled(path)
    expected = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6]) * 27.2113862 / BOHR**3
    assert frame.get_stress() == pytest.approx(expected, rel=1e-6)
    assert frame.cell.lengths() == pytest.approx(bulk("Cu", cubic=True).cell.lengths())


def test_a_zero_cell_is_not_periodic(tmp_path):
    water = molecule("H2O", pbc=True)
    water.calc = SinglePointCalculator(water, energy=-2080.0)
    ase.io.write(tmp_path / "zero.traj", water)
    (frame,), _ = read_labelled(tmp_path / "zero.traj")
    assert not frame.pbc.any()


def test_plain_ase_database_rows_are_in_eV(tmp_path, ethanol):
    with ase.db.connect(tmp_path / "plain.db") as database:
        for atoms in ethanol:
            database.write(atoms)
    frames, found = read_labelled(tmp_path / "plain.db")
    assert energies_of(frames) == pytest.approx(energies_of(ethanol))
    assert (found.n_forces, found.n_dipole) == (5, 5)


def cations(constrained=True):
    """Four water cations, whose oxygen is held and has no force."""
    frames, rng = [], np.random.default_rng(0)
    for k in range(4):
        atoms = molecule("H2O")
        atoms.rattle(0.03, seed=k)
        forces = rng.normal(size=(3, 3))
        if constrained:
            atoms.set_constraint(FixAtoms([0]))
            forces[0] = 0.0
        atoms.calc = SinglePointCalculator(atoms, energy=-2070.0 + k, forces=forces)
        frames.append(atoms)
    return frames


def test_forces_that_a_database_lacks_on_held_atoms_are_no_labels(tmp_path):
    """As in a trajectory: the zeros of a code would be learnt as forces."""
    frames = cations()
    with ase.db.connect(tmp_path / "held.db") as database:
        for atoms in frames:
            database.write(atoms)
    ase.io.write(tmp_path / "held.traj", frames)
    masks = [read_dataset(tmp_path / name)[0].force_mask for name in ("held.db", "held.traj")]
    assert masks[0][:4].tolist() == [[False] * 3, [True] * 3, [True] * 3, [False] * 3]
    np.testing.assert_array_equal(*masks)


@pytest.mark.parametrize("place", ["key", "data", "initial charges"])
def test_charge_and_multiplicity_that_a_database_states_are_read(tmp_path, place):
    """A key ``charge`` is hidden by ASE, whose rows have a property of that name."""
    with ase.db.connect(tmp_path / "ions.db") as database:
        for atoms in cations(constrained=False):
            if place == "initial charges":
                atoms.set_initial_charges([0.4, 0.3, 0.3])
                atoms.set_initial_magnetic_moments([1.0, 0.0, 0.0])
                atoms.calc = SinglePointCalculator(atoms, **atoms.calc.results)
            said = {"charge": 1, "multiplicity": 2}
            keys = said if place == "key" else {}
            database.write(atoms, keys, data=said if place == "data" else {})
    data, _ = read_dataset(tmp_path / "ions.db")
    assert data.charge.tolist() == [1.0] * 4
    assert data.multiplicity.tolist() == [2.0] * 4
    frames, _ = read_labelled(tmp_path / "ions.db")
    assert frames[0].info["charge"] == 1.0


def schnetpack_database(path, frames, forces_unit="kcal/mol/Ang"):
    with ase.db.connect(path) as database:
        for atoms in frames:
            data = {"energy": np.array([atoms.get_potential_energy() / KCAL])}
            data |= {"forces": atoms.get_forces() / KCAL, "dipole": np.array([0.0, 0.0, 1.0])}
            database.write(Atoms(atoms.numbers, atoms.positions), data=data)
    units = {"energy": "kcal/mol", "forces": forces_unit, "dipole": "D"}
    ase.db.connect(path).metadata = {"_property_unit_dict": units, "_distance_unit": "Ang"}
    return path


def test_schnetpack_database_says_its_units_in_the_metadata(tmp_path, ethanol):
    frames, found = read_labelled(schnetpack_database(tmp_path / "spk.db", ethanol))
    assert found.units == FileUnits("kcal/mol", "Ang", "Debye")
    assert energies_of(frames) == pytest.approx(energies_of(ethanol), rel=1e-7)
    assert forces_of(frames) == pytest.approx(forces_of(ethanol), rel=1e-7)
    assert frames[0].get_dipole_moment()[2] == pytest.approx(0.2081943, rel=1e-6)


def test_schnetpack_database_with_forces_in_another_unit_is_refused(tmp_path, ethanol):
    path = schnetpack_database(tmp_path / "spk.db", ethanol, forces_unit="eV/Ang")
    with pytest.raises(ValueError, match="forces in eV/Ang but energies in kcal/mol"):
        read_labelled(path)


# ------------------------------------------------------------- bad input


def test_units_that_do_not_exist_are_refused(tmp_path, ethanol):
    path = write_npz(tmp_path / "md17.npz", **md17_arrays(ethanol))
    with pytest.raises(ValueError, match="unknown energy unit 'bananas'"):
        read_labelled(path, "bananas")
    with pytest.raises(ValueError, match="does not say its units"):
        read_labelled(path)


@pytest.mark.parametrize("claimed", ["eV", "meV", "kJ/mol", "Hartree", "Rydberg"])
def test_kcal_energies_are_recognised_whatever_they_are_called(tmp_path, ethanol, claimed):
    path = write_npz(tmp_path / "md17.npz", **md17_arrays(ethanol))
    with pytest.raises(
        ValueError, match=f"energies look like kcal/mol, not {claimed}: pass units='kcal/mol'"
    ):
        read_labelled(path, claimed)


def test_hartree_energies_are_recognised_even_without_forces(tmp_path, ethanol):
    arrays = md17_arrays(ethanol, energy_unit=27.211386)
    del arrays["F"]
    with pytest.raises(ValueError, match="look like Hartree, not eV"):
        read_labelled(write_npz(tmp_path / "md17.npz", **arrays), "eV")


def test_valence_energies_of_alumina_are_not_taken_for_rydberg(tmp_path):
    """Pseudopotential energies can miss the all-electron ones by the ratio of two units."""
    atoms = Atoms(
        "Al2O3", [[0, 0, 0], [0, 0, 2.6], [1.5, 0, 1.3], [-0.8, 1.3, 1.3], [-0.8, -1.3, 1.3]]
    )
    valence = -(2 * 2.1 + 3 * 15.8 + 1.0) * 27.2114
    forces = np.random.default_rng(0).normal(size=(5, 3))
    atoms.calc = SinglePointCalculator(atoms, energy=valence, forces=forces)
    ase.io.write(tmp_path / "alumina.traj", atoms)
    (frame,), _ = read_labelled(tmp_path / "alumina.traj")
    assert frame.get_potential_energy() == pytest.approx(valence)


def test_forces_and_lengths_of_unusual_size_are_warned_of(tmp_path, ethanol):
    arrays = md17_arrays(ethanol)
    relative = arrays | {"E": arrays["E"] - arrays["E"].mean()}
    path = write_npz(tmp_path / "relative.npz", **relative)
    with pytest.warns(UserWarning, match="root mean square force is .* eV/Å.*kcal/mol/Å in place"):
        read_labelled(path, "eV")
    with pytest.warns(UserWarning, match="shortest distances are 0.5. of a bond"):
        read_labelled(path, "kcal/mol, Bohr")
    path = write_npz(tmp_path / "bohr.npz", **(arrays | {"R": arrays["R"] / BOHR}))
    with pytest.warns(UserWarning, match="no structure has two atoms within bonding distance"):
        read_labelled(path, "kcal/mol, Ang")
    path = write_npz(tmp_path / "zero.npz", **(arrays | {"F": np.zeros_like(arrays["F"])}))
    with pytest.warns(UserWarning, match="all forces are zero"):
        read_labelled(path, "kcal/mol")


@pytest.mark.parametrize("kept", [0.02, 0.5, 0.95])
def test_a_truncated_npz_is_refused(tmp_path, ethanol, kept):
    path = write_npz(tmp_path / "md17.npz", **md17_arrays(ethanol))
    path.write_bytes(path.read_bytes()[: int(kept * path.stat().st_size)])
    with pytest.raises(ValueError, match=r"md17\.npz: is not a readable npz archive"):
        read_labelled(path, "kcal/mol")


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])  # wrong checksum, undecodable
def test_an_npz_with_overwritten_bytes_is_refused(tmp_path, ethanol, save):
    path = tmp_path / "md17.npz"
    save(path, **md17_arrays(ethanol))
    content = bytearray(path.read_bytes())
    start = content.index(b"F.npy") + 300
    content[start : start + 40] = bytes(40)
    path.write_bytes(content)
    with pytest.raises(ValueError, match="F cannot be read"):
        read_labelled(path, "kcal/mol")


def test_a_zip_feature_of_the_future_is_refused(tmp_path, ethanol):
    path = write_npz(tmp_path / "md17.npz", **md17_arrays(ethanol))
    content = bytearray(path.read_bytes())
    content[content.rindex(b"PK\x01\x02") + 6] = 185  # version needed to extract
    path.write_bytes(content)
    with pytest.raises(ValueError, match="not a readable npz archive"):
        read_labelled(path, "kcal/mol")


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("the file was unpickled",))


def test_pickles_are_never_loaded(tmp_path, ethanol):
    arrays = md17_arrays(ethanol)
    arrays["E"] = np.array([Bomb()] * 5, dtype=object)
    with pytest.raises(ValueError, match="E holds pickled Python objects"):
        read_labelled(write_npz(tmp_path / "object.npz", **arrays), "kcal/mol")
    path = tmp_path / "bare.npz"
    path.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(ValueError, match="not a readable npz archive"):
        read_labelled(path, "kcal/mol")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"E": np.zeros((4, 1))}, r"E has shape \(4, 1\), expected 5 frames"),
        ({"F": np.ones((5, 8, 3))}, r"frame 0: forces has shape \(8, 3\), expected \(9, 3\)"),
        ({"F": np.ones(5)}, r"F has shape \(5,\), not that of forces \(frames, atoms, 3\)"),
        ({"R": np.zeros((5, 9, 3))}, "frame 0: atoms 0 and 1 are in the same place"),
        ({"R": np.zeros((5, 27))}, r"R has shape \(5, 27\), not \(frames, atoms, 3\)"),
        ({"z": np.full(8, 6)}, r"z has shape \(8,\), which does not fit R \(5, 9, 3\)"),
        ({"z": np.zeros(9, int)}, "frame 0 has atomic numbers outside 1 to 118"),
        ({"E": np.full(5, "low")}, "E holds <U3, not numbers"),
        ({"R": np.zeros((0, 9, 3)), "E": np.zeros(0), "F": np.zeros((0, 9, 3))}, "no structures"),
    ],
)
def test_arrays_that_do_not_fit_are_named(tmp_path, ethanol, change, message):
    path = write_npz(tmp_path / "md17.npz", **(md17_arrays(ethanol) | change))
    with pytest.raises(ValueError, match=message):
        read_labelled(path, "kcal/mol")


def test_an_npz_of_unknown_layout_lists_its_keys(tmp_path, ethanol):
    arrays = md17_arrays(ethanol)
    path = write_npz(tmp_path / "odd.npz", numbers=arrays["z"], xyz=arrays["R"])
    with pytest.raises(ValueError, match="has keys numbers, xyz, of no known layout"):
        read_labelled(path, "eV")
    path = write_npz(tmp_path / "named.npz", z=arrays["z"], R=arrays["R"], pbe=arrays["E"])
    with pytest.raises(ValueError, match="no labels under 'E' or 'F'; it holds z, R, pbe"):
        read_labelled(path, "kcal/mol")
    frames, _ = read_labelled(path, "kcal/mol", energy_key="pbe")
    assert energies_of(frames) == pytest.approx(energies_of(ethanol), rel=1e-7)


@pytest.mark.parametrize(("key", "name"), [("E", "energy"), ("F", "forces"), ("R", "positions")])
@pytest.mark.parametrize("poison", [np.nan, np.inf])
def test_labels_that_are_no_numbers_name_their_first_frame(tmp_path, ethanol, key, name, poison):
    arrays = md17_arrays(ethanol)
    arrays[key][[2, 4]] = poison
    path = write_npz(tmp_path / "md17.npz", **arrays)
    with pytest.raises(ValueError, match=rf"frame 2 has NaN or infinite {name} \(2 of 5 frames"):
        read_labelled(path, "kcal/mol")


def test_nan_in_extxyz_names_its_frame(tmp_path, ethanol):
    ethanol[3].calc.results["energy"] = np.nan
    path = tmp_path / "nan.xyz"
    ase.io.write(path, ethanol, format="extxyz")
    with pytest.raises(ValueError, match=r"nan\.xyz: frame 3 has NaN or infinite energy"):
        read_labelled(path, "eV")


def test_a_truncated_extxyz_names_its_frame(tmp_path, ethanol):
    buffer = io.StringIO()
    ase.io.write(buffer, ethanol, format="extxyz")
    lines = buffer.getvalue().splitlines()
    path = write_text(tmp_path / "cut.xyz", "\n".join(lines[:-3]))
    with pytest.raises(ValueError, match="frame 4 cannot be read: has 6 atoms, expected 9"):
        read_labelled(path, "eV")


def test_frames_behind_a_blank_line_are_not_lost_in_silence(tmp_path, ethanol):
    buffer = io.StringIO()
    ase.io.write(buffer, ethanol, format="extxyz")
    text = buffer.getvalue()
    path = write_text(tmp_path / "joined.xyz", text + "\n" + text)
    with pytest.raises(ValueError, match=r"frame 5 comes after a blank line \(line 56"):
        read_labelled(path, "eV")
    frames, _ = read_labelled(write_text(tmp_path / "end.xyz", text + "\n\n"), "eV")
    assert len(frames) == 5


@pytest.mark.parametrize("name", ["empty.npz", "empty.xyz", "empty.db", "empty.traj"])
def test_an_empty_file_is_called_empty(tmp_path, name):
    (tmp_path / name).touch()
    with pytest.raises(ValueError, match=f"{name}: is empty"):
        read_labelled(tmp_path / name, "eV")


@pytest.mark.parametrize("name", ["junk.npz", "junk.xyz", "junk.db", "junk.traj", "junk.pdf"])
def test_a_file_of_something_else_is_refused(tmp_path, name):
    (tmp_path / name).write_bytes(b"%PDF-1.4 nothing that a chemist wants\n" * 20)
    with pytest.raises(ValueError, match=f"{name}: .*(cannot be read|not a readable)"):
        read_labelled(tmp_path / name, "eV")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.npz: no such file"):
        read_labelled(tmp_path / "nowhere.npz", "eV")


# ------------------------------------------------------------- real data


def test_rmd17_ethanol_has_its_published_first_frame(shared_data):
    frames, found = read_labelled(shared_data("rmd17-npz", "rmd17_ethanol_train_01.npz"))
    assert frames[0].get_potential_energy() == pytest.approx(-97079.92222178938 * KCAL, rel=2e-8)
    assert frames[0].get_potential_energy() == pytest.approx(-4209.7838, abs=2e-4)
    expected = np.array([-17.64730699, -26.13751651, 40.70575377]) * KCAL
    assert frames[0].get_forces()[0] == pytest.approx(expected, rel=1e-7)
    assert str(found) == (
        "rmd17_ethanol_train_01.npz: 1000 frames; energy 1000/1000, forces 1000/1000, "
        "dipole 0/1000; kcal/mol, Ang -> eV, Ang; not used: "
        "old_energies (energy_key='old_energies'), old_forces (forces_key='old_forces')"
    )
    assert found.sha256.startswith("096946747b8d9dcf")


def test_md17_labels_inside_rmd17(shared_data):
    frames, _ = read_labelled(
        shared_data("rmd17-npz", "rmd17_ethanol_train_01.npz"),
        energy_key="old_energies",
        forces_key="old_forces",
    )
    assert frames[0].get_potential_energy() == pytest.approx(-97198.78429048 * KCAL, rel=2e-8)
    assert frames[0].get_forces()[0, 0] == pytest.approx(-32.51094264 * KCAL, rel=1e-7)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("parts", "units", "n_frames"),
    [
        *[(("rmd17-npz", f"rmd17_{name}_train_01.npz"), None, 1000) for name in RMD17],
        (("nff-ethanol", "ethanol_ccsd_t-train.npz"), "kcal/mol", 1000),
        (("md17-ethanol", "ethanol_first2000.npz"), "kcal/mol", 2000),
        (("md17-ethanol", "ethanol_sampledata.xyz"), "kcal/mol", 2000),
        (("botnet-ethanol", "test_H_removal.xyz"), "eV", 60),
        (("botnet-ethanol", "methanol_test.xyz"), "eV", 145),
        (("botnet-ethanol", "isolated_atoms.xyz"), "eV", 4),
        (("meuwly-dipoles", "ch2o_ccf12_avtz_3601.npz"), "eV", 3601),
        (("mlearn", "Si_test.extxyz.gz"), "eV", 25),
        (("mlearn", "Li_test.extxyz.gz"), "eV", 29),
        (("formats", "schnetpack_test_ani1.db"), "eV", 20),
    ],
)
def test_real_data_in_its_right_units_raises_no_suspicion(shared_data, parts, units, n_frames):
    path = shared_data(*parts)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        frames, found = read_labelled(path, units)
    assert len(frames) == found.n_energy == n_frames


def test_formaldehyde_comes_without_its_padding(shared_data):
    path = shared_data("meuwly-dipoles", "ch2o_ccf12_avtz_3601.npz")
    frames, found = read_labelled(path, "eV")
    assert frames[0].symbols.get_chemical_formula() == "CH2O"
    assert frames[0].get_potential_energy() == pytest.approx(-16.08580597)
    debye = np.linalg.norm(frames[0].get_dipole_moment()) / 0.2081943
    assert debye == pytest.approx(2.417, abs=1e-3)
    assert found.n_dipole == 3601


def test_silicon_has_the_stress_of_its_vasp_run(shared_data):
    frames, found = read_labelled(shared_data("mlearn", "Si_test.extxyz.gz"), "eV")
    # Si_test.original.json: kB, positive when compressed; here in the order xx yy zz yz xz xy
    kilobar = np.array(
        [-27.23177616, -4.72612711, -18.46493083, -7.84898328, -1.72155668, -3.15869869]
    )
    assert frames[0].get_stress() == pytest.approx(-kilobar / 1602.1766, rel=1e-6)
    assert frames[0].get_potential_energy() == -297.62773938
    assert frames[0].pbc.all()
    assert found.n_stress == 25


def test_methanol_in_eV_is_not_believed_to_be_kcal(shared_data):
    path = shared_data("botnet-ethanol", "methanol_test.xyz")
    with pytest.raises(ValueError, match="energies look like eV, not kcal/mol: pass units='eV'"):
        read_labelled(path, "kcal/mol")


def test_water_with_a_zero_cell_is_a_molecule_and_its_dipole_is_1_86_debye(shared_data):
    path = shared_data("tensoap-water", "water_monomer_1000.xyz")
    frames, _ = read_labelled(path, "Hartree, Ang, e*Bohr", energy_key="potential")
    assert not frames[0].pbc.any()
    debye = [np.linalg.norm(atoms.get_dipole_moment()) / 0.2081943 for atoms in frames]
    assert np.mean(debye) == pytest.approx(1.86, abs=0.05)


def test_qm9_of_schnetpack_2_is_converted_from_its_metadata(shared_data):
    path = shared_data("formats", "schnetpack_test_qm9.db")
    frames, found = read_labelled(path, energy_key="energy_U0")
    assert found.units == FileUnits("Hartree", "Ang")
    assert frames[0].symbols.get_chemical_formula() == "CH4"
    assert frames[0].get_potential_energy() == pytest.approx(-40.47893 * 27.211386, rel=1e-6)
    assert energies_of(read_labelled(path)[0]) == pytest.approx(energies_of(frames))
    with pytest.raises(ValueError, match=r"has no 'energy_T'; it holds .*energy_U0"):
        read_labelled(path, energy_key="energy_T")


def test_iso17_is_read_and_its_missing_forces_noticed(shared_data):
    with pytest.warns(UserWarning, match="all forces are zero"):
        frames, found = read_labelled(shared_data("formats", "schnetpack_test_iso17.db"), "eV")
    assert frames[0].get_potential_energy() == pytest.approx(-11505.647279852)
    assert found.n_forces == 40


@pytest.mark.parametrize("suffix", ["extxyz", "traj", "npz", "db"])
def test_an_at_sign_in_a_name_has_no_meaning(tmp_path, ethanol, suffix):
    """ASE takes what stands behind it for the number of a frame."""
    path = tmp_path / f"ethanol@300.{suffix}"
    if suffix == "npz":
        np.savez(path, **md17_arrays(ethanol, 1.0))
    elif suffix == "db":
        with ase.db.connect(path) as database:
            for atoms in ethanol:
                database.write(atoms)
    else:
        ase.io.write(path, ethanol)
    frames, found = read_labelled(path, "eV")
    assert found.n_energy == 5
    np.testing.assert_allclose(energies_of(frames), energies_of(ethanol))
