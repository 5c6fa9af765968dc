"""Labels that contradict each other are refused by name before a training; real data are left in peace."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.calculators.lj import LennardJones
from ase.calculators.singlepoint import SinglePointCalculator
from ase.cluster import Octahedron
from ase.constraints import FixAtoms
from ase.io import read, write
from ase.units import Bohr, GPa, Hartree, kcal, mol
from factory import labelled_molecules, potentials

from ase_schnet.cli import main
from ase_schnet.data.agreement import agreement
from ase_schnet.data.contradictions import label_contradictions, refuse_contradictions
from ase_schnet.data.dataset import Dataset
from ase_schnet.data.formats import read_labelled
from ase_schnet.data.rescaling import Rescaling
from ase_schnet.data.statistics import label_statistics
from ase_schnet.modelfile import load_model
from ase_schnet.training.batches import BatchSource
from ase_schnet.training.loss import Loss, LossWeights
from ase_schnet.training.metrics import validation_metrics

TINY = ["--units", "eV", "--folds", "2", "--epochs", "1", "--jobs", "1", "--no-plot"]
TINY += ["--interactions", "1"]

LABELLED = [
    *(
        (f"rmd17-npz/rmd17_{name}_train_01.npz", None)
        for name in (
            *("aspirin", "azobenzene", "benzene", "ethanol", "malonaldehyde"),
            *("naphthalene", "paracetamol", "salicylic", "toluene", "uracil"),
        )
    ),
    ("nff-ethanol/ethanol_ccsd_t-train.npz", "kcal/mol"),
    ("nff-ethanol/nff_dataset_plain.npz", "kcal/mol"),
    ("md17-ethanol/ethanol_first2000.npz", "kcal/mol"),
    ("md17-ethanol/ethanol_sampledata.xyz", "kcal/mol"),
    ("botnet-ethanol/test_H_removal.xyz", "eV"),
    ("botnet-ethanol/methanol_train.xyz", "eV"),
    ("botnet-ethanol/methanol_test.xyz", "eV"),
    ("meuwly-dipoles/ch3oh_cc_avtz_7201.npz", "eV"),
    ("meuwly-dipoles/ch2o_ccf12_avtz_3601.npz", "eV"),
    ("qm7x-small/qm7x_226.npz", None),
    ("ec-emc/volumeScan.xyz", "eV"),
    ("formats/schnetpack_test_ethanol_v2.db", "kcal/mol"),
    ("formats/schnetpack_test_ani1.db", "eV"),
    ("formats/spice2-1000_429_md_0-1.hdf5", "eV"),
    ("mlearn/Si_training.extxyz.gz", "eV"),
    ("mlearn/Li_training.extxyz.gz", "eV"),
]
MOLECULES = ("benzene", "ethanol", "malonaldehyde", "toluene", "uracil")
CRYSTALS = (
    *(f"mlearn/{x}.extxyz.gz" for x in ("Si_training", "Si_test", "Li_training", "Li_test")),
)
WRONG_FORCES = {
    "gradients": -1.0,
    "Hartree/Bohr": Bohr / Hartree,
    "eV/Bohr": Bohr,
    "kcal/mol/Ang": mol / kcal,
}


def ethanols(n=60):
    return Dataset.from_atoms(labelled_molecules(n, names=("CH3CH2OH",)))


def crystals(n=24):
    """Argon at volumes from far below to far above equilibrium."""
    frames = []
    for k in range(n):
        atoms = Atoms("Ar4", [[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]], pbc=True)
        atoms.set_cell(np.eye(3) * (5.0 + 0.6 * k / n), scale_atoms=False)
        atoms.set_scaled_positions(atoms.positions)
        atoms.calc = LennardJones(epsilon=0.0104, sigma=3.4, rc=8.0, smooth=True)
        labels = {q: getattr(atoms, f"get_{q}")() for q in ("potential_energy", "forces", "stress")}
        labels["energy"] = labels.pop("potential_energy")
        atoms.calc = SinglePointCalculator(atoms, **labels)
        frames.append(atoms)
    return Dataset.from_atoms(frames)


def read_set(shared_data, path, units):
    return read_file(shared_data(*path.split("/")), units)


@cache
def read_file(path, units):
    return Dataset.from_atoms(read_labelled(path, units)[0])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*bonding distance|.*forces are zero")
@pytest.mark.parametrize(("path", "units"), LABELLED)
def test_real_data_raise_no_alarm(shared_data, path, units):
    assert label_contradictions(read_set(shared_data, path, units)) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", MOLECULES)
def test_wrong_forces_of_real_molecules_are_named(shared_data, name):
    right = read_set(shared_data, f"rmd17-npz/rmd17_{name}_test_01.npz", None)
    for looks, factor in WRONG_FORCES.items():
        (said,) = label_contradictions(replace(right, F=factor * right.F))
        assert f"look like {looks}" in said
    zeroed = right.F.copy()
    zeroed[right.ptr[:-1] + 1] = 0.0
    (said,) = label_contradictions(replace(right, F=zeroed))
    assert "forces on atoms 1 (C) are exactly zero in all 1000" in said
    assert "move_mask" in said


@pytest.mark.parametrize("path", CRYSTALS)
def test_wrong_stresses_of_real_crystals_are_named(shared_data, path):
    right = read_set(shared_data, path, "eV")
    for unit, factor in (("GPa", GPa), ("kB", 0.1 * GPa)):
        (said,) = label_contradictions(replace(right, stress=right.stress / factor), forces=False)
        assert "stresses are too large" in said
        assert f"--units 'eV, Ang, {unit}'" in said or f"or {unit}" in said
    (said,) = label_contradictions(replace(right, stress=-right.stress), forces=False)
    assert "stresses have the wrong sign" in said


def test_boxes_of_a_liquid_with_virials_are_right_and_wrong_ones_named(shared_data, tmp_path):
    """200 boxes of EC and EMC, virial in eV; the three free atoms of the file have no forces."""
    frames = [a for a in read(shared_data("ec-emc", "ECEMC.xyz"), ":") if "virial" in a.info]
    write(tmp_path / "boxes.xyz", frames)
    right = Dataset.from_atoms(read_labelled(tmp_path / "boxes.xyz", "eV")[0])
    assert right.stress.shape == (200, 6)
    full = frames[7].info["virial"] / -frames[7].get_volume()
    assert right.stress[7, [0, 3, 5]] == pytest.approx([full[0, 0], full[1, 2], full[0, 1]])
    assert label_contradictions(right) == []
    for factor, words in ((1 / GPa, "like GPa"), (10 / GPa, "like kB"), (-1, "wrong sign")):
        assert (
            words
            in label_contradictions(replace(right, stress=factor * right.stress), forces=False)[0]
        )


def test_energies_of_the_wrong_unit_are_named_too():
    data = ethanols()
    (said,) = label_contradictions(replace(data, E=data.E / Hartree))
    assert "the energies look like Hartree" in said
    (said,) = label_contradictions(replace(data, F=data.F / 27.2, units="Hartree, Ang"))
    assert "the forces look like Hartree" not in said


def test_positions_left_in_bohr_are_named():
    data = ethanols()
    assert "positions look like Bohr" in label_contradictions(replace(data, R=data.R / Bohr))[0]


@pytest.mark.parametrize("rattle", [0.05, 0.15, 0.3])
def test_steep_walls_are_no_contradiction(rattle):
    """Lennard-Jones clusters far up the wall, where every path of a molecule's kind is too long."""
    ideal = Octahedron("Ar", 3)
    frames = []
    for seed in range(60):
        atoms = Atoms(ideal.numbers, ideal.positions * 3.8 / 3.72)
        atoms.rattle(rattle, seed=seed)
        atoms.calc = LennardJones(epsilon=0.01, sigma=3.4, rc=12.0)
        labels = {"energy": atoms.get_potential_energy(), "forces": atoms.get_forces()}
        atoms.calc = SinglePointCalculator(atoms, **labels)
        frames.append(atoms)
    data = Dataset.from_atoms(frames)
    assert label_contradictions(data) == []
    assert agreement(data).ratio == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize("seed", range(8))
def test_energies_that_have_nothing_to_do_with_the_forces_are_not_judged(seed):
    data = ethanols(20)
    noise = np.random.default_rng(seed).normal(size=len(data))
    assert agreement(replace(data, E=data.E + 100 * noise)) is None


def test_the_ratio_does_not_depend_on_how_the_molecules_lie():
    data, rng = ethanols(), np.random.default_rng(1)
    R, F = data.R.copy(), data.F.copy()
    for a, b in zip(data.ptr[:-1], data.ptr[1:], strict=True):
        turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
        R[a:b], F[a:b] = R[a:b] @ turn + rng.normal(size=3), F[a:b] @ turn
    assert agreement(replace(data, R=R, F=F)).ratio == pytest.approx(
        agreement(data).ratio, rel=1e-3
    )
    assert agreement(data).ratio == pytest.approx(1.0, abs=0.05)


def test_labels_in_units_of_nobody_are_refused_too():
    """Their units have no name that could be looked up."""
    data = Rescaling(27.2, 0.529).apply(ethanols())
    assert label_contradictions(data) == []
    (said,) = label_contradictions(replace(data, F=5.0 * data.F))
    assert said.endswith("positions all converted (27.2 eV, 0.529 Ang)?")
    (said,) = label_contradictions(replace(data, F=-data.F))
    assert said.endswith("the forces look like gradients: change their sign")


@pytest.mark.parametrize("n_atoms", [2, 60])
def test_atoms_that_are_all_far_from_each_other_are_compared_too(n_atoms):
    """A box of gas, or a chain of many: no two atoms are within reach of a coordinate."""
    frames = []
    for d in np.linspace(7.0, 9.0, 30):
        atoms = Atoms(f"Ar{n_atoms}", np.arange(n_atoms)[:, None] * [d, 0, 0])
        if n_atoms == 2:
            atoms.set_cell([30.0] * 3)
            atoms.pbc = True
        forces = np.zeros((n_atoms, 3))
        forces[[0, -1], 0] = 0.01, -0.01  # of a string between the ends
        energy = 0.01 * (n_atoms - 1) * d
        atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=forces)
        frames.append(atoms)
    data = Dataset.from_atoms(frames)
    assert label_contradictions(data) == []
    assert agreement(data).ratio == pytest.approx(1.0, abs=0.02)


def test_a_symmetric_stretch_whose_middle_feels_no_force_is_no_contradiction():
    frames = []
    for d in np.linspace(1.0, 1.4, 30):
        atoms = Atoms("OCO", [[-d, 0, 0], [0, 0, 0], [d, 0, 0]])
        forces = np.zeros((3, 3))
        forces[[0, 2], 0] = np.array([1.0, -1.0]) * 30.0 * (d - 1.16)
        atoms.calc = SinglePointCalculator(atoms, energy=30.0 * (d - 1.16) ** 2, forces=forces)
        frames.append(atoms)
    data = Dataset.from_atoms(frames)
    assert label_contradictions(data) == []
    assert agreement(data).ratio == pytest.approx(1.0, abs=0.02)


def test_forces_that_are_all_zero_while_energies_differ_are_named():
    data = ethanols()
    (said,) = label_contradictions(replace(data, F=0.0 * data.F))
    assert said.startswith("all forces are zero")
    assert label_contradictions(replace(data, F=0.0 * data.F), forces=False) == []


@pytest.mark.parametrize("factor", [1 / GPa, 10 / GPa])
def test_pressures_of_a_planets_core_are_told_from_another_unit_by_the_energies(factor):
    """Compressed argon, all energies and stresses times 3000: V·σ of tens of eV per atom, and true."""
    small = crystals()
    large = replace(small, E=3000 * small.E, F=3000 * small.F, stress=3000 * small.stress)
    rms = np.sqrt(((large.stress * (large.volumes / large.n_atoms)[:, None]) ** 2).mean())
    assert rms > 5.0
    assert label_contradictions(large) == []
    assert "too large" in label_contradictions(replace(large, stress=factor * large.stress))[0]


def test_units_of_stress_are_read_with_their_sign(tmp_path):
    data = crystals(4)
    frames = []
    for k in range(4):
        atoms = data.atoms(k)
        stress = -data.stress[k] / GPa * 10
        atoms.calc = SinglePointCalculator(atoms, energy=data.E[k], stress=stress)
        frames.append(atoms)
    write(tmp_path / "vasp.xyz", frames)
    for units in ("eV, Ang, -kB", "eV, -kbar", "eV, Ang, Debye, -kB"):
        again, found = read_labelled(tmp_path / "vasp.xyz", units)
        assert Dataset.from_atoms(again).stress == pytest.approx(data.stress, rel=1e-6, abs=1e-9)
        assert "-kB" in str(found.units)


@pytest.mark.parametrize("key", ["virial", "virials", "REF_virial", "dft_virial"])
def test_virials_are_read_as_stress_where_there_is_a_volume(tmp_path, key):
    data = crystals(3)
    frames = []
    for k in range(3):
        atoms = data.atoms(k)
        xx, yy, zz, yz, xz, xy = -data.stress[k] * atoms.get_volume() / Hartree
        atoms.info[key] = np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
        atoms.calc = SinglePointCalculator(atoms, energy=data.E[k] / Hartree)
        frames.append(atoms)
    write(tmp_path / "virials.xyz", frames)
    again = Dataset.from_atoms(read_labelled(tmp_path / "virials.xyz", "Hartree, Ang")[0])
    assert again.stress == pytest.approx(data.stress, rel=1e-6, abs=1e-9)


def frozen_slab(n=30, removed=True):
    """Ethanols of which the first two atoms are frozen, and their forces zero."""
    frames = labelled_molecules(n, names=("CH3CH2OH",))
    for atoms in frames:
        if removed:
            atoms.calc.results["forces"][:2] = 0.0
        atoms.set_constraint(FixAtoms([0, 1]))
    return frames


def test_a_constraint_masks_zeroed_forces_and_keeps_true_ones():
    assert Dataset.from_atoms(frozen_slab(removed=False)).force_mask is None
    data = Dataset.from_atoms(frozen_slab())
    assert data.force_mask.reshape(30, 9, 3).all(axis=(0, 2)).tolist() == [False] * 2 + [True] * 7
    assert label_contradictions(data) == []
    half = data.subset(np.arange(0, 30, 2))
    assert half.force_mask.shape == (135, 3)
    assert half.fingerprint() != replace(half, force_mask=None).fingerprint()


@pytest.mark.parametrize("column", ["move_mask", "force_mask", "labelled"])
def test_a_mask_in_the_file_comes_through_reading_and_writing(tmp_path, column):
    frames = frozen_slab()
    for atoms in frames:
        if column != "move_mask":
            atoms.set_constraint()
            atoms.set_array(column, np.arange(9) > 1)
    path = tmp_path / "frozen.xyz"
    write(path, frames)
    key = {"mask_key": column} if column == "labelled" else {}
    again, _ = read_labelled(path, "eV", **key)
    write(tmp_path / "again.xyz", again)
    for structures in (again, read_labelled(tmp_path / "again.xyz")[0]):
        data = Dataset.from_atoms(structures)
        assert (~data.force_mask).sum() == 30 * 2 * 3
        assert label_contradictions(data) == []
    with pytest.raises(ValueError, match="no column 'other'"):
        read_labelled(path, "eV", mask_key="other")


def test_the_command_line_refuses_names_the_cure_and_can_be_overruled(tmp_path, capsys):
    frames = labelled_molecules(40, names=("CH3CH2OH",))
    right, wrong, model = tmp_path / "right.xyz", tmp_path / "wrong.xyz", tmp_path / "m"
    write(right, frames[:20])
    for atoms in frames[20:]:
        atoms.calc.results["forces"] *= -1
    write(wrong, frames[20:])
    arguments = ["train", str(right), str(wrong), "-o", str(model), *TINY]
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert "energies against forces: dE is 1.0" in out
    (line,) = err.splitlines()
    assert f"{wrong}: energies and forces contradict each other" in line
    assert "change their sign" in line
    assert "--allow-contradictions" in line
    assert not model.exists()
    assert (
        main([*arguments, "--allow-contradictions"]) == 1
    )  # an epoch or two come to nothing, and the verdict says so


def test_python_refuses_too():
    data = ethanols()
    with pytest.raises(ValueError, match="allow_contradictions=True"):
        refuse_contradictions(replace(data, F=-data.F))


@pytest.mark.parametrize("kind", ["standardised", "schnet"])
def test_forces_that_are_no_labels_count_nowhere(kind):
    data = Dataset.from_atoms(frozen_slab())
    other = replace(data, F=np.where(data.force_mask, data.F, 1e3))
    results = []
    for some in (data, other):
        statistics = label_statistics(some)
        source = BatchSource(some, 4.0, torch.float32)
        loss = Loss(LossWeights(kind=kind), statistics)
        metrics = validation_metrics(potentials()[0], source, loss, 8)
        results.append((statistics.forces_std.tolist(), metrics))
    assert results[0] == results[1]
    unmasked = replace(data, force_mask=None)
    assert label_statistics(unmasked).forces_std[6] < label_statistics(data).forces_std[6]


def test_a_training_with_a_mask_runs_and_its_errors_are_of_labels_alone(tmp_path, capsys):
    path = tmp_path / "frozen.xyz"
    write(path, frozen_slab())
    assert main(["train", str(path), "-o", str(tmp_path / "m"), *TINY]) == 1
    out = capsys.readouterr().out
    assert "180 force components are not labels" in out
    kept_out = load_model(tmp_path / "m").card["kept_out"]
    assert kept_out["forces_mae_meV_per_Ang"] > 0
    labelled = (
        3 * kept_out["n_atoms"] - 6 * kept_out["n_structures"]
    )  # two atoms of each are frozen
    assert kept_out["n_forces"] == labelled
    assert f"n = {labelled} components" in out
