"""Labels of a pool: for the electrons of the data, and far where the difference of labels is."""

from dataclasses import replace

import numpy as np
import pytest
from ase.build import molecule
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixAtoms
from factory import labelled_molecules, random_model

from ase_schnet import Pretraining
from ase_schnet.data.dataset import Dataset
from ase_schnet.labelling.label import label_structures
from ase_schnet.labelling.reference import read_reference
from ase_schnet.pretraining.contrast import Contrasted
from ase_schnet.pretraining.given_pool import given_pool
from ase_schnet.pretraining.pool import THERMAL, label_pool, sample_pool
from ase_schnet.pretraining.taught import Taught
from ase_schnet.runtime.locks import InUseError
from ase_schnet.sampling.spread import fingerprint


@pytest.mark.parametrize(("charge", "multiplicity", "computed"), [(0, 1, 0), (1, 2, 1)])
def test_labels_of_another_charge_are_not_taken(tmp_path, charge, multiplicity, computed):
    """Cations were taught the labels of the neutral molecules in the file."""
    frames = labelled_molecules(3, names=("CH3OH",))
    for atoms in frames:
        atoms.info.update(charge=charge, multiplicity=multiplicity)
    method, path = read_reference("gfn2-xtb"), tmp_path / "pool.extxyz"
    [neutral] = label_structures([molecule("CH3OH")], method, path, jobs=1).frames
    assert "charge" not in neutral.info
    pool = given_pool(path, Dataset.from_atoms(frames), 4.0, (charge, multiplicity), "thermal")
    [labelled] = label_pool(pool, method, tmp_path, jobs=1)
    assert (tmp_path / "pool_labelled.extxyz").exists() == bool(computed)
    expected = neutral.copy()
    expected.calc = method.calculator(charge, multiplicity)
    energy = expected.get_potential_energy()
    assert labelled.get_potential_energy() == pytest.approx(energy, abs=1e-5)


def test_forces_on_held_atoms_do_not_say_how_large_differences_are(tmp_path):
    """They are zero in the data, and what the cheap method has there is no difference of two methods."""
    frames = labelled_molecules(4, names=("CH3OH",))
    for k, atoms in enumerate(frames):
        atoms.info |= {"sampled_by": "thermal", "sampled_from": k}
    held = [atoms.copy() for atoms in frames]
    for atoms, free in zip(held, frames, strict=True):
        forces = 1e-3 * free.get_forces()
        forces[0] = 0.0
        atoms.calc = SinglePointCalculator(atoms, energy=0.0, forces=forces)
        atoms.set_constraint(FixAtoms([0]))
    difference = Dataset.from_atoms(held)
    large = np.where(difference.force_mask, difference.F, 1e6)
    taught = Taught(tmp_path, replace(Pretraining("gfn2-xtb"), dear_share=0.0), "cheap")
    rest = random_model(), replace(difference, F=large), np.arange(4)
    taught.write(frames, *rest, contrast=None)
    with np.load(tmp_path / "teacher.npz") as file:
        assert file["far"].all()  # an untrained teacher against differences of 1 meV/Å


def test_labels_of_the_second_method_are_taken_over_too(tmp_path):
    dear = labelled_molecules(2, names=("CH3OH",))
    pool = Dataset.from_atoms(dear)
    (tmp_path / ".second.extxyz.lock").write_text('{"host": "elsewhere", "pid": 1}')
    known = read_reference("gfn2-xtb"), "gfn1-xtb", tmp_path, dear, (0, 1), 1
    with pytest.raises(InUseError, match="take-over"):
        Contrasted(*known)(pool)
    energies, _ = Contrasted(*known, take_over=True)(pool)
    assert np.isfinite(energies).all()


def test_hot_runs_are_not_the_thermal_ones_again(tmp_path):
    """Both have runs at 500 K, with one seed the same structures."""
    settings = Pretraining("gfn2-xtb", n_thermal=8, n_far=40)
    pool = sample_pool([molecule("H2O")], read_reference("gfn2-xtb"), settings, tmp_path, jobs=1)
    thermal = {fingerprint(atoms) for atoms in pool if atoms.info["sampled_by"] == THERMAL}
    hot = [fingerprint(atoms) for atoms in pool if atoms.info["sampled_by"] == "md 500 K"]
    assert len(thermal) == 8
    assert len(hot) == 4
    assert not thermal.intersection(hot)
