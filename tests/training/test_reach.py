"""A cutoff that a typo makes is refused before the training, with its reason."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc111, molecule
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write
from factory import labelled_molecules

from ase_schnet.cli import main
from ase_schnet.data.dataset import Dataset
from ase_schnet.neighbors import half_list
from ase_schnet.schnet_config import PRESETS, SchNetConfig
from ase_schnet.training.cutoff import neighbours_within, require_sensible_cutoff


def dataset_of(*structures: Atoms) -> Dataset:
    return Dataset.from_atoms([labelled(atoms) for atoms in structures], source="x")


def labelled(atoms):
    atoms.calc = SinglePointCalculator(atoms, energy=0.0, forces=np.zeros((len(atoms), 3)))
    return atoms


def slab():
    atoms = fcc111("Cu", (3, 3, 6), vacuum=None)
    atoms.pbc = [True, True, False]
    return atoms


def wire():
    return Atoms("Cu2", [[0, 0, 0], [0, 0, 2.5]], cell=[0, 0, 5.0], pbc=[False, False, True])


def truth(atoms, cutoff):
    pairs = half_list(atoms.positions, cutoff, atoms.cell.array, atoms.pbc)
    return 2 * len(pairs.idx_i) / len(atoms)


@pytest.mark.parametrize("cutoff", [6.0, 12.0])
def test_neighbours_are_counted_without_a_list_of_them(cutoff):
    structures = [bulk("Si", cubic=True), bulk("Cu"), slab(), wire(), molecule("CH3CH2OH")]
    found = neighbours_within(dataset_of(*structures), cutoff)
    expected = np.array([truth(atoms, cutoff) for atoms in structures])
    assert (found >= 0.9 * expected).all()
    assert (found[:2] < 1.3 * expected[:2]).all()
    assert (found < 2 * expected + 8).all()


def test_presets_are_accepted_and_a_long_cutoff_of_a_crystal_is_not():
    molecules, crystal = dataset_of(molecule("CH3CH2OH")), dataset_of(bulk("Si", cubic=True))
    for config in PRESETS.values():
        require_sensible_cutoff(config, molecules, begun=False)
    require_sensible_cutoff(PRESETS["fast"], crystal, begun=False)
    long = SchNetConfig(cutoff=50.0, n_rbf=500)
    require_sensible_cutoff(long, molecules, begun=False)
    with pytest.raises(
        ValueError, match=r"50 Å an atom of these structures has some 2\d{4} neighb"
    ):
        require_sensible_cutoff(long, crystal, begun=False)


def test_gaussians_that_do_not_meet_are_refused_unless_a_model_has_them():
    molecules = dataset_of(molecule("CH3CH2OH"))
    for cutoff in (50.0, 1000.0):
        config = SchNetConfig(cutoff=cutoff, n_rbf=32, gamma=4.0)
        with pytest.raises(ValueError, match="leaves gaps between the 32 Gaussians"):
            require_sensible_cutoff(config, molecules, begun=False)
        require_sensible_cutoff(config, molecules, begun=True)


def test_the_command_line_says_so_in_one_line_and_begins_nothing(tmp_path, capsys):
    write(tmp_path / "a.xyz", labelled_molecules(24))
    words = ["train", str(tmp_path / "a.xyz"), "--units", "eV", "--folds", "2", "--kept-out", "0.1"]
    assert main([*words, "--cutoff", "50", "-o", str(tmp_path / "m")]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "a cutoff of 50 Å leaves gaps" in line
    assert not (tmp_path / "m").exists()
