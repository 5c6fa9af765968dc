"""Runs under LAMMPS of what it sees otherwise than ASE: slabs, atoms that drift, names of folders."""

import numpy as np
import pytest
from ase.build import bulk
from ase.io import read, write
from mpi_runs import commands_in_turn, needs_lammps

from ase_schnet import SchNetCalculator, run_nve
from ase_schnet.dynamics.velocities import thermalise
from ase_schnet.runs.record import MDRecord

LENGTH = ("--timestep", "1", "--trajectory-every", "1", "--monitor", "off", "--no-plot")
KEPT = {"timestep_fs": 1.0, "trajectory_every": 1, "progress": False, "keep_momenta": True}


def slab():
    """A film with 20 Å from it to the next, in a cell whose third vector is not upright; it drifts."""
    atoms = bulk("Si", cubic=True) * (2, 2, 2)
    cell = atoms.cell.array.copy()
    cell[2] = [3.0, 1.0, 30.0]
    atoms.set_cell(cell)
    atoms.pbc = (True, True, False)
    atoms.rattle(0.05, seed=3)
    thermalise(atoms, 300.0, np.random.default_rng(1))
    atoms.set_velocities(np.add(atoms.get_velocities(), [0.02, 0.0, 0.0]))
    return atoms


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """Folder, and what commands said that run the slab there: begin, go on, and what cannot be."""
    folder = tmp_path_factory.mktemp("film")
    write(folder / "slab.xyz", slab())
    begin = ["lammps", "silicon", folder / "slab.xyz", *LENGTH, "-o"]
    kept = [*begin, folder / "a film, #1 of $2", "--keep-momenta", "--time"]
    npt = [*begin, folder / "npt", "--time", "0.002", "--ensemble", "npt", "--temperature", "300"]
    cases = [[*kept, "0.002"], [*kept, "0.004", "--resume"], npt]
    cases.append([*begin, folder / "50 %", "--time", "0.002"])
    return folder, commands_in_turn(folder, [[case] * 2 for case in cases])


@needs_lammps
@pytest.mark.slow
def test_the_vacuum_of_a_slab_is_kept_and_its_stress_is_that_of_ase(answers):
    """LAMMPS draws its box together around the slab: pressures were too large by as much."""
    folder, said = answers
    assert [answer.code for answer in (*said[0], *said[1])] == [0] * 4, said
    run_dir, atoms = folder / "a film, #1 of $2", slab()
    given = atoms.cell.array.copy()
    atoms.calc = SchNetCalculator("silicon", threads=1)
    theirs = run_nve(atoms, time_ps=0.004, temperature_K=None, **KEPT)
    ours, last = MDRecord.read(run_dir), read(run_dir / "trajectory.traj")
    assert len(ours) == len(theirs) == 5
    assert abs(last.cell.array - given).max() < 1e-12
    assert abs(last.positions - atoms.positions).max() < 1e-8
    assert last.get_stress() == pytest.approx(atoms.get_stress(), abs=1e-8)
    assert ours.pressure_GPa == pytest.approx(theirs.pressure_GPa, abs=1e-6)


@needs_lammps
@pytest.mark.slow
def test_atoms_that_drift_from_the_start_have_gained_nothing(answers):
    record = MDRecord.read(answers[0] / "a film, #1 of $2")
    assert record.translation_gained_eV.max() < 1e-15


@needs_lammps
@pytest.mark.slow
def test_what_lammps_cannot_do_is_one_line(answers):
    _, said = answers
    for case, message in ((2, "periodic in all three directions"), (3, "give a path without %")):
        first, second = said[case]
        assert (first.code, second.code, second.stderr) == (2, 2, "")
        assert message in first.stderr
        assert len(first.stderr.splitlines()) == 1, first.stderr
