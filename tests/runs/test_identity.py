"""Identity: a run goes on only with the masses and constraints that it began with."""

import numpy as np
import pytest
from ase.build import molecule
from ase.calculators.emt import EMT
from ase.constraints import FixAtoms, FixBondLength

from ase_schnet.dynamics.md import run_nve, run_nvt


def ethanol(*, masses=None, constraints=()):
    atoms = molecule("CH3CH2OH")
    if masses is not None:
        atoms.set_masses(masses)
    atoms.set_constraint(list(constraints))
    atoms.calc = EMT()
    return atoms


def heavy(*indices):
    masses = molecule("CH3CH2OH").get_masses()
    masses[list(indices)] = 2.014
    return masses


def go(path, atoms, time_ps=0.005, function=run_nve):
    return function(atoms, temperature_K=300, time_ps=time_ps, run_dir=path, resume=True)


@pytest.mark.parametrize("function", [run_nve, run_nvt])
@pytest.mark.parametrize(
    ("then", "now"), [(None, heavy(3)), (heavy(3), None), (heavy(3), heavy(4))]
)
def test_a_resume_with_other_isotopes_is_refused_by_name(tmp_path, function, then, now):
    go(tmp_path / "run", ethanol(masses=then), function=function)
    with pytest.raises(ValueError, match=r"other masses \(atoms \[.*amu.*another directory"):
        go(tmp_path / "run", ethanol(masses=now), 0.01, function)


@pytest.mark.parametrize(
    ("then", "now"),
    [
        ([], [FixAtoms([0])]),
        ([FixAtoms([0])], []),
        ([FixAtoms([0])], [FixAtoms([1])]),
        ([FixAtoms([0])], [FixBondLength(0, 1)]),
    ],
)
def test_a_resume_with_other_constraints_is_refused_by_name(tmp_path, then, now):
    go(tmp_path / "run", ethanol(constraints=then))
    with pytest.raises(
        ValueError, match=r"other constraints: it had .*, now there are .*another dir"
    ):
        go(tmp_path / "run", ethanol(constraints=now), 0.01)


@pytest.mark.parametrize(
    "constraints",
    [[FixAtoms([0, 1])], [FixBondLength(0, 1)], [FixAtoms([2]), FixBondLength(0, 1)]],
)
def test_a_resume_with_the_same_masses_and_constraints_goes_on(tmp_path, constraints):
    go(tmp_path / "run", ethanol(masses=heavy(3, 4), constraints=constraints))
    record = go(tmp_path / "run", ethanol(masses=heavy(3, 4), constraints=constraints[::-1]), 0.01)
    assert np.isclose(record.time_fs[-1], 10)
