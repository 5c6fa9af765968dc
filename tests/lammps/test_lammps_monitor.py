"""What stops a run under LAMMPS: what stops it in ASE, found by whichever process has the atoms."""

from contextlib import nullcontext

import pytest
from ase.build import bulk
from ase.io import write
from mpi_runs import commands_in_turn, needs_lammps

from ase_schnet import SchNetCalculator
from ase_schnet.applicability.structure_watch import StructureWatch
from ase_schnet.runs.record import MDRecord


def silicon():
    return bulk("Si", cubic=True, a=5.469) * (2, 2, 2)


def squeezed():
    """Two atoms nearer than in training."""
    atoms = silicon()
    atoms.set_distance(8, 9, 1.65, fix=0, mic=True)
    return atoms


def lonely():
    """An atom above a surface that has no other within the cutoff."""
    atoms = silicon()
    atoms.center(vacuum=12, axis=2)
    highest = atoms.positions[:, 2].argmax()
    atoms.positions[highest, 2] += 7
    return atoms


@needs_lammps
@pytest.mark.slow
def test_distances_outside_training_and_lonely_atoms_stop_a_run_as_in_ase(tmp_path):
    cases, expected = [], []
    for make in (silicon, squeezed, lonely):
        atoms, name = make(), make.__name__
        write(tmp_path / f"{name}.xyz", atoms)
        atoms.calc = SchNetCalculator("silicon", threads=1)
        with pytest.warns() if make is not silicon else nullcontext():
            atoms.get_forces()
        expected.append(StructureWatch(atoms).find(atoms))
        for action in ("stop", "off"):
            words = ["lammps", "silicon", tmp_path / f"{name}.xyz", "--time", "0.002", "--no-plot"]
            words += ["--timestep", "1", "--monitor", action, "-o", tmp_path / f"{name}_{action}"]
            cases.append([words] * 2)
    answers = commands_in_turn(tmp_path, cases)
    assert expected[0] == {}
    assert all(expected[1:])
    for name, found, stop, off in zip(
        ("silicon", "squeezed", "lonely"), expected, answers[::2], answers[1::2], strict=True
    ):
        assert [answer.code for answer in off] == [0, 0]
        assert [answer.code for answer in stop] == ([1, 1] if found else [0, 0])
        failure = MDRecord.read(tmp_path / f"{name}_stop").failure or ""
        for cause, text in found.items():
            if cause != "uncertain force":  # which atom has it no process knows
                assert text in failure
    assert "Si8 and Si9 1.65 Å apart, shortest in training 1.83 Å" in expected[1].values()
