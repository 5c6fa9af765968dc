"""The model under LAMMPS gives what it gives under ASE, whatever the number of processes."""

from dataclasses import replace
from pathlib import Path

import lammps_cases
import numpy as np
import pytest
from factory import random_model
from mpi_runs import crew, mpirun, needs_lammps

from ase_schnet import SchNetCalculator
from ase_schnet.modelfile import save_model

pytestmark = needs_lammps
SEVERAL = (2, pytest.param(4, marks=pytest.mark.slow))
PROCESSES = (1, *SEVERAL)
ENERGY, FORCE = 1e-10, 1e-9  # eV, eV/Å


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    """Of small energies, of which the tenth of a nanoelectronvolt is left in a sum."""
    trained = random_model(pbc=True)
    trained = replace(trained, energy_shift=trained.energy_shift / 1000)
    return save_model(tmp_path_factory.mktemp("lammps") / "model", trained)


class Answers(dict):
    """Hold the results of the cases on n processes, run when first asked for: n -> name -> value."""

    def __init__(self, model: Path):
        self.model = model

    def __missing__(self, n: int) -> dict:
        out = self.model.parent / f"{n}.npz"
        if n == 4:  # of whom nobody else wants anything
            mpirun(n, lammps_cases.__file__, "evaluate", self.model, out)
        else:
            crew(n).do("evaluate", self.model, out)
        with np.load(out) as saved:
            self[n] = {name: saved[name] for name in saved}
        return self[n]


@pytest.fixture(scope="module")
def found(model) -> Answers:
    return Answers(model)


@pytest.fixture(scope="module")
def by_ase(model) -> dict:
    """The same structures by the calculator."""
    atoms = {name: make() for name, make in lammps_cases.STRUCTURES.items()}
    for structure in atoms.values():
        structure.calc = SchNetCalculator(model)
        structure.get_potential_energy()
    return atoms


@pytest.mark.parametrize("name", lammps_cases.STRUCTURES)
@pytest.mark.parametrize("n", PROCESSES)
def test_energy_and_forces_are_those_of_the_calculator(found, by_ase, n, name):
    atoms, here = by_ase[name], found[n]
    assert abs(here[f"{name}.energy"] - atoms.get_potential_energy()) < ENERGY
    assert abs(here[f"{name}.forces"] - atoms.get_forces()).max() < FORCE
    assert abs(here[f"{name}.energies"] - atoms.get_potential_energies()).max() < ENERGY
    assert abs(here[f"{name}.atomic_sum"] - atoms.get_potential_energy()) < ENERGY
    assert np.allclose(here[f"{name}.positions"], atoms.positions, rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", lammps_cases.STRUCTURES)
@pytest.mark.parametrize("n", PROCESSES)
def test_the_spread_over_the_ensemble_is_that_of_the_calculator(found, by_ase, n, name):
    results = by_ase[name].calc.results
    assert abs(found[n][f"{name}.energy_std"] - results["energy_std"]) < ENERGY
    assert abs(found[n][f"{name}.max_forces_std"] - results["forces_std"].max()) < FORCE


@pytest.mark.parametrize("n", PROCESSES)
def test_pressure_is_that_of_the_calculator(found, by_ase, n):
    """LAMMPS converts with constants of 1986: 1e-7 off."""
    for name in ("mixture", "skewed"):
        stress = by_ase[name].get_stress()
        expected = -stress[:3].sum() / 3 * lammps_cases.BAR
        assert found[n][f"{name}.pressure_bar"] == pytest.approx(expected, rel=2e-7, abs=1e-3)


@pytest.mark.parametrize("n", PROCESSES)
def test_pressure_is_minus_the_slope_of_the_energy_by_volume(found, n):
    here = found[n]
    assert abs(here["volume.pressure_bar"]) > 1e4  # something to be wrong about
    assert abs(here["volume.pressure_bar"] - here["volume.numeric_bar"]) < 0.1


@pytest.mark.parametrize("n", PROCESSES)
def test_repulsion_is_that_of_the_calculator(found, model, n):
    """On in both, or off in both; the mixture has pairs below their onset."""
    for name, kind in (("mixture", "zbl"), ("bare", None)):
        atoms = lammps_cases.mixture()
        atoms.calc = SchNetCalculator(model, repulsion=kind)
        assert abs(found[n][f"{name}.energy"] - atoms.get_potential_energy()) < ENERGY
        assert abs(found[n][f"{name}.forces"] - atoms.get_forces()).max() < FORCE
    assert abs(found[n]["bare.energy"] - found[n]["mixture.energy"]) > 0.1


@pytest.mark.parametrize("n", PROCESSES)
def test_single_precision_is_single(found, n):
    off = abs(found[n]["float32.forces"] - found[n]["mixture.forces"]).max()
    assert 1e-9 < off < 1e-4


@pytest.mark.parametrize("n", SEVERAL)
def test_processes_share_the_atoms_and_ghosts_are_only_those_of_others(found, n):
    assert found[1]["mixture.ghosts"] == 0
    assert 0 < found[n]["mixture.ghosts"] < len(lammps_cases.mixture())


@pytest.mark.parametrize("n", PROCESSES)
def test_atoms_that_change_hands_on_the_way_are_lost_nowhere(found, model, n):
    """The energy of the whole is conserved, its momentum to rounding, and the last frame is ASE's."""
    here, atoms = found[n], lammps_cases.mixture()
    assert here["moving.lists"] > 3
    assert abs(here["moving.gained"]) < 0.05  # of 56 eV of kinetic energy
    assert here["moving.momentum"] < 1e-9
    atoms.positions = here["moving.positions"]
    atoms.calc = SchNetCalculator(model, repulsion=None)
    assert abs(here["moving.energy"] - atoms.get_potential_energy()) < ENERGY
    assert abs(here["moving.forces"] - atoms.get_forces()).max() < FORCE


@pytest.mark.parametrize("n", SEVERAL)
def test_processes_move_the_atoms_alike(found, n):
    assert abs(found[n]["moving.positions"] - found[1]["moving.positions"]).max() < 1e-9


@pytest.mark.parametrize("n", PROCESSES)
def test_atoms_in_one_place_end_the_run_in_all_processes(found, n):
    assert (
        str(found[n]["refused.same place"])
        == "step 0: atoms with ids 6 and 8 are in the same place"
    )


@pytest.mark.parametrize("n", SEVERAL)
def test_processes_that_do_not_listen_are_found_out_before_the_first_step(found, n):
    assert str(found[1]["refused.deaf"]) == "ran"  # there is nobody to listen to
    assert "differ from those of one by" in str(found[n]["refused.deaf"])
