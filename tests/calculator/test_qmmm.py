"""ASE's ForceQMMM: the network in a part of a structure, another calculator around it."""

from dataclasses import replace

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.lj import LennardJones
from ase.calculators.qmmm import ForceQMMM
from factory import TINY, random_model

from ase_schnet import SchNetCalculator
from ase_schnet.modelfile import save_model

CUTOFF = 1.8  # Å, of two interactions: a force depends on atoms within 4 cutoffs


@pytest.fixture(scope="module")
def crystal(tmp_path_factory):
    """Diamond, its forces by two calculators, which of its atoms are inner, and the calculators."""
    model = replace(random_model(replace(TINY, cutoff=CUTOFF), pbc=True), distance_ranges={})
    path = save_model(tmp_path_factory.mktemp("qmmm") / "model", model)
    network, other = SchNetCalculator(path), LennardJones(sigma=1.3, epsilon=0.1, rc=2.0)
    atoms = bulk("C", cubic=True, a=3.57) * (6, 6, 6)
    atoms.rattle(0.02, seed=0)
    inner = np.linalg.norm(atoms.positions - atoms.cell.sum(axis=0) / 2, axis=1) < 2.0
    found = []
    for calculator in (network, other):
        whole = atoms.copy()
        whole.calc = calculator
        found.append(whole.get_forces())
    return atoms, *found, inner, network, other


@pytest.mark.parametrize(("buffer_Ang", "is_whole"), [(4.1 * CUTOFF, True), (1.0, False)])
def test_inner_forces_are_those_of_the_network_once_the_buffer_holds_its_range(
    crystal, buffer_Ang, is_whole
):
    atoms, by_network, by_other, inner, network, other = crystal
    both = atoms.copy()
    both.calc = ForceQMMM(both, inner, network, other, buffer_width=buffer_Ang)
    forces = both.get_forces()
    assert 0 < inner.sum() < len(atoms) / 10
    (shift,) = np.unique(
        np.round(forces - by_other, 9)[~inner], axis=0
    )  # ASE takes the net force away
    difference = np.abs(forces - by_network - shift)[inner].max()
    assert (difference < 1e-7) == is_whole
    assert np.abs(by_network - by_other)[inner].max() > 0.01
