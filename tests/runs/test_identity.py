"""Identity: a run goes on only with the masses and constraints that it began with."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.calculators.emt import EMT
from ase.constraints import FixAtoms, FixBondLength

from ase_schnet.dynamics.md import run_nve, run_nvt
from ase_schnet.lammps.restart import require_same_run


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


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda atoms: atoms.set_masses([2.014] * 2), "other masses"),
        (lambda atoms: atoms.set_cell([8.0, 8.0, 9.0]), "of another structure"),
    ],
)
def test_lammps_does_not_go_on_with_isotopes_or_a_cell_that_the_run_had_not(change, message):
    """LAMMPS takes masses and cell from its own file; momenta and axes were made of those given."""
    first = Atoms("H2", [(0, 0, 0), (0, 0, 0.74)], cell=[8.0, 8.0, 8.0], pbc=True)
    about = {"calculator": {"model_info": {"sha256": "a", "repulsion": "zbl"}}}
    directory = SimpleNamespace(
        path=Path("run"),
        first_frame=first.copy,
        about=about,
        begin=SimpleNamespace(step=2),
        n_logged=2,
        settings={"timestep_fs": 0.5},
    )
    info = {"sha256": "a", "earlier_sha256": [], "repulsion": "zbl"}
    require_same_run(directory, first, info, 4)
    given = first.copy()
    change(given)
    with pytest.raises(ValueError, match=message):
        require_same_run(directory, given, info, 4)
