"""Layouts of data sets beside npz of one molecule: HDF5, schnetpack's old databases, boxes of vacuum."""

import base64

import ase.db
import ase.io
import h5py
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.singlepoint import SinglePointCalculator

from ase_schnet.data import _hdf5
from ase_schnet.data._conversion import unbox_molecule
from ase_schnet.data.formats import read_dataset, read_labelled
from ase_schnet.data.frame import Frame

HARTREE, BOHR = 27.211386, 0.52917721
WATER = -2079.0  # eV, about


def write_h5(path, groups):
    """groups: name -> (datasets, attributes)."""
    with h5py.File(path, "w") as file:
        for name, (datasets, attributes) in groups.items():
            group = file.create_group(name)
            group.attrs.update(attributes)
            for key, value in datasets.items():
                group[key] = value
    return path


def waters(n, rng):
    return molecule("H2O").positions + rng.normal(scale=0.03, size=(n, 3, 3))


def test_the_gradient_of_a_layout_gives_the_same_forces_when_it_is_asked_for(tmp_path):
    """Its sign was changed twice: by the layout, and for the minus before the name."""
    rng = np.random.default_rng(0)
    gradient = rng.normal(scale=0.02, size=(4, 3, 3))
    numbers, energies = np.array([8, 1, 1]), np.full(4, -76.4)
    arrays = {"E": energies, "energy_grad": gradient, "Z": numbers, "R": waters(4, rng) / BOHR}
    np.savez(tmp_path / "nff.npz", **arrays)
    spice = {"dft_total_energy": energies, "dft_total_gradient": gradient}
    spice |= {"atomic_numbers": numbers, "conformations": waters(4, rng) / BOHR}
    write_h5(tmp_path / "spice.h5", {"water": (spice, {})})
    for name, units, key in (
        ("nff.npz", "Hartree, Bohr", "energy_grad"),
        ("spice.h5", None, "dft_total_gradient"),
    ):
        asked, _ = read_dataset(tmp_path / name, units, forces_key=f"-{key}", trust_units=True)
        own, _ = read_dataset(tmp_path / name, units, trust_units=True)
        expected = -gradient.reshape(-1, 3) * HARTREE / BOHR
        np.testing.assert_allclose(own.F, expected, rtol=1e-6)
        np.testing.assert_array_equal(asked.F, own.F)


# ------------------------------------------------------------------ HDF5


@pytest.mark.slow
def test_ani_1_has_three_molecules_with_all_their_conformers(shared_data):
    frames, found = read_labelled(shared_data("formats", "ani_gdb_s01.h5"))
    assert str(found.units) == "Hartree, Ang"
    names, counts = np.unique([a.get_chemical_formula() for a in frames], return_counts=True)
    assert dict(zip(names, counts, strict=True)) == {"CH4": 5400, "H3N": 3600, "H2O": 1800}
    methane = min(a.get_potential_energy() for a in frames if len(a) == 5)
    assert methane == pytest.approx(-40.5 * HARTREE, abs=1.0)  # ωB97X/6-31G(d)
    with pytest.raises(ValueError, match="look like Hartree, not eV"):
        read_labelled(shared_data("formats", "ani_gdb_s01.h5"), "eV")


def test_spice_of_mlip_is_in_no_stated_unit_and_charged(shared_data):
    path = shared_data("formats", "spice2-1000_429_md_0-1.hdf5")
    with pytest.raises(ValueError, match="does not say its units"):
        read_labelled(path)
    frames, found = read_labelled(path, "eV")
    assert frames[0].get_potential_energy() == pytest.approx(-33533.58818835873)
    assert frames[0].info["charge"] == -2.0
    assert (found.n_forces, found.n_dipole, found.n_dipole_skipped) == (2, 0, 2)
    assert sorted(set(frames[0].symbols)) == ["C", "H", "O", "P", "S"]


def test_gradients_of_spice_become_forces(tmp_path):
    rng = np.random.default_rng(0)
    gradient = rng.normal(scale=0.02, size=(4, 3, 3))
    datasets = {
        "atomic_numbers": np.array([8, 1, 1]),
        "conformations": waters(4, rng) / BOHR,
        "dft_total_energy": np.full(4, WATER / HARTREE),
        "dft_total_gradient": gradient.astype(np.float32),
        "scf_dipole": np.full((4, 3), 0.4),
    }
    path = write_h5(tmp_path / "spice.hdf5", {"water": (datasets, {})})
    frames, found = read_labelled(path)
    assert str(found.units) == "Hartree, Bohr, e*Bohr"
    assert frames[2].get_forces() == pytest.approx(-gradient[2] * HARTREE / BOHR, rel=1e-5)
    assert frames[2].get_distance(0, 1) == pytest.approx(0.97, abs=0.1)
    assert frames[0].get_dipole_moment() == pytest.approx(0.4 * BOHR * np.ones(3))


def test_structures_of_qm7x_are_groups_within_groups(tmp_path):
    positions = molecule("H2O").positions
    one = {"atNUM": [8, 1, 1], "atXYZ": positions, "ePBE0+MBD": [WATER], "totFOR": np.ones((3, 3))}
    groups = {f"{k}/Geom-m{k}-i1-c1-{c}": (one, {}) for k in (1, 2) for c in ("opt", "1")}
    frames, found = read_labelled(write_h5(tmp_path / "1000.hdf5", groups))
    assert (found.n_frames, found.n_forces) == (4, 4)
    assert frames[3].get_potential_energy() == WATER


def test_charges_that_a_network_cannot_see_are_warned_of(tmp_path):
    one = {"elements": [8, 1, 1], "positions": molecule("H2O").positions}
    groups = {f"m{q}": (one, {"energy": WATER + q, "charge": float(q)}) for q in (0, 1)}
    with pytest.warns(UserWarning, match=r"total charges range from \+0 to \+1, which a network"):
        read_labelled(write_h5(tmp_path / "ions.h5", groups), "eV")
    arrays = {"Z": np.array([[8, 1, 1]] * 2), "R": np.array([molecule("H2O").positions] * 2)}
    arrays |= {"N": np.full(2, 3), "E": np.array([WATER, WATER]), "Q": np.array([0.0, -1.0])}
    np.savez(tmp_path / "ions.npz", **arrays)
    with pytest.warns(UserWarning, match=r"total charges range from -1 to \+0"):
        read_labelled(tmp_path / "ions.npz", "eV")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"species": None},
            "group /w holds coordinates, energies, of no known layout .*ANI-1: species",
        ),
        ({"species": np.array([b"O", b"H", b"Hx"])}, "symbols that are not elements: Hx"),
        (
            {"coordinates": np.zeros((2, 4, 3))},
            r"coordinates has shape \(2, 4, 3\), which does not fit 3",
        ),
        ({"energies": np.zeros(3)}, r"energies has shape \(3,\), expected 2 frames"),
        ({"energies": None}, "group /w has no labels; it holds coordinates, species"),
    ],
)
def test_groups_that_do_not_fit_are_named(tmp_path, change, message):
    datasets = {
        "species": np.array([b"O", b"H", b"H"]),
        "coordinates": waters(2, np.random.default_rng(0)),
        "energies": np.full(2, WATER / HARTREE),
    } | change
    datasets = {k: v for k, v in datasets.items() if v is not None}
    with pytest.raises(ValueError, match=message):
        read_labelled(write_h5(tmp_path / "w.h5", {"w": (datasets, {})}))


def test_groups_of_two_layouts_and_keys_that_are_not_there(tmp_path):
    ani = {"species": [b"He"], "coordinates": np.zeros((1, 1, 3)), "energies": [-2.9]}
    qm7x = {"atNUM": [2], "atXYZ": np.zeros((1, 3)), "ePBE0+MBD": [-78.0]}
    path = write_h5(tmp_path / "two.h5", {"a": (ani, {}), "b": (qm7x, {})})
    with pytest.raises(ValueError, match="groups of the layouts ANI-1 and QM7-X: split it"):
        read_labelled(path)
    path = write_h5(tmp_path / "one.h5", {"a": (ani, {})})
    with pytest.raises(ValueError, match="group /a has no 'mp2'; it holds coordinates, energies"):
        read_labelled(path, energy_key="mp2")


@pytest.mark.parametrize("kept", [40, 2000])
def test_a_truncated_hdf5_is_refused(tmp_path, kept):
    one = {"species": [b"He"], "coordinates": np.zeros((900, 1, 3)), "energies": np.zeros(900)}
    path = write_h5(tmp_path / "cut.h5", {"a": (one, {})})
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ValueError, match=r"cut\.h5: is not a readable HDF5 file"):
        read_labelled(path)


def test_hdf5_without_h5py_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(_hdf5, "h5py", None)
    (tmp_path / "some.h5").write_bytes(b"x")
    with pytest.raises(ValueError, match=r"needs h5py: pip install 'ase-schnet\[hdf5\]'"):
        read_labelled(tmp_path / "some.h5")


# ------------------------------------------------------------------- npz


def test_qm7x_has_energies_forces_and_dipoles_in_eV(shared_data):
    path = shared_data("qm7x-small", "qm7x_226.npz")
    frames, found = read_labelled(path)
    assert str(found.units) == "eV, Ang, e*Ang"
    assert frames[0].get_chemical_formula() == "C6H12"
    assert frames[0].get_potential_energy() == pytest.approx(-6410.478429)
    assert (found.n_forces, found.n_dipole) == (100, 100)


def test_gradients_of_nff_become_forces(shared_data):
    ours, _ = read_labelled(shared_data("nff-ethanol", "nff_dataset_plain.npz"), "kcal/mol")
    sgdml, _ = read_labelled(shared_data("nff-ethanol", "ethanol_ccsd_t-train.npz"), "kcal/mol")
    assert ours[7].get_forces() == pytest.approx(sgdml[7].get_forces(), abs=1e-5)
    zero = sgdml[0].get_potential_energy() - ours[0].get_potential_energy()
    assert zero == pytest.approx(-97084.7008 * 4184 / 96485.33212, abs=1e-3)  # the mean, taken off


# -------------------------------------------------- databases of schnetpack 0.2


def test_base64_arrays_are_decoded(shared_data):
    path = shared_data("formats", "schnetpack_test_ethanol_v2.db")
    with pytest.raises(ValueError, match="does not say its units"):
        read_labelled(path)
    frames, found = read_labelled(path, "kcal/mol")
    (row, *_) = ase.db.connect(path).select(limit=1)
    forces = np.frombuffer(base64.b64decode(row.data["forces"]), "float64").reshape(9, 3)
    assert frames[0].get_forces() == pytest.approx(forces * 4184 / 96485.33212e0, rel=1e-7)
    assert found.n_forces == 20
    assert -4215.5 < frames[0].get_potential_energy() < -4213.5
    with pytest.raises(ValueError, match="energies look like kcal/mol, not eV"):
        read_labelled(path, "eV")


def test_excited_states_are_not_taken_for_one(shared_data):
    path = shared_data("formats", "schnarc_CH2NH2+_99points.db")
    with pytest.raises(ValueError, match=r"energy has shape \(3,\), .* 3 electronic states\?"):
        read_labelled(path, "Hartree, Bohr")


@pytest.mark.parametrize(
    "change", [{"energy": "not base64!"}, {"_dtype_energy": "object"}, {"_shape_energy": [7]}]
)
def test_damaged_base64_names_its_row(tmp_path, change):
    text = base64.b64encode(np.array([WATER])).decode()
    good = {"energy": text, "_dtype_energy": "float64", "_shape_energy": [1]}
    with ase.db.connect(tmp_path / "old.db") as database:
        database.write(molecule("H2O"), data=good)
        database.write(molecule("H2O"), data=good | change)
    with pytest.raises(ValueError, match=r"old\.db: row 2 cannot be read"):
        read_labelled(tmp_path / "old.db", "eV")


# ------------------------------------------------------- boxes of vacuum


def boxed(atoms, length):
    atoms = atoms.copy()
    atoms.set_cell([length] * 3)
    atoms.pbc = True
    return Frame.of(atoms)


def test_a_molecule_in_an_empty_box_is_a_molecule(shared_data):
    path = shared_data("qm7b-dipole", "qm7b_dipole_pol_test.xyz")
    dataset, (found,) = read_dataset(path, "Hartree, Ang, e*Bohr")
    assert not dataset.pbc.any()
    assert found.n_unboxed == 1443
    assert "1443 molecules taken out of boxes of vacuum" in str(found)
    source = ase.io.read(path, 0)  # nothing is wrapped there, so nothing moves
    assert dataset.R[: len(source)] == pytest.approx(source.positions, abs=1e-12)
    assert dataset.dipole[0] == pytest.approx(source.get_dipole_moment() * BOHR, rel=1e-6)


def test_a_molecule_wrapped_around_its_box_is_made_whole():
    ethanol = molecule("CH3CH2OH")
    frame = boxed(ethanol, 60.0)
    wrapped = frame._replace(positions=frame.positions % 60.0)
    assert np.ptp(wrapped.positions, axis=0).max() > 50
    whole = unbox_molecule(wrapped)
    assert whole.pbc is None
    assert whole.positions[0].tolist() == wrapped.positions[0].tolist()
    relative = whole.positions - whole.positions[0]
    assert relative == pytest.approx(ethanol.positions - ethanol.positions[0], abs=1e-12)


@pytest.mark.parametrize(
    "atoms",
    [
        bulk("Si", cubic=True),
        bulk("Ar", "sc", a=7.0).repeat(5),  # a large box, filled
        Atoms("H2", [[0, 0, 0], [0, 0, 0.74]], cell=[12, 12, 12], pbc=True),  # little vacuum
        Atoms("C", cell=[2.4, 2.4, 90], pbc=True),  # a sheet
        Atoms("H2", [[0, 0, 0], [0, 0, 0.74]], cell=[80, 80, 80], pbc=[True, True, False]),
    ],
    ids=["crystal", "filled", "small box", "sheet", "slab"],
)
def test_a_box_that_may_mean_something_stays(atoms):
    frame = Frame.of(atoms)
    assert unbox_molecule(frame) is frame


def test_a_box_whose_stress_is_known_stays(tmp_path):
    atoms = Atoms("H2", [[0, 0, 0], [0, 0, 0.74]], cell=[80, 80, 80], pbc=True)
    atoms.calc = SinglePointCalculator(atoms, energy=-31.0, stress=np.zeros(6))
    ase.io.write(tmp_path / "h2.traj", atoms)
    (frame,), found = read_labelled(tmp_path / "h2.traj")
    assert frame.pbc.all()
    assert found.n_unboxed == 0
