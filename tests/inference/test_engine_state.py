"""What the calculator notices, what it remembers, and that its answers belong to the caller."""

import numpy as np
import pytest
from ase.calculators.calculator import InputError, all_changes
from ase.constraints import FixAtoms
from engine_cases import diamond
from factory import ethanol, random_model

from ase_schnet import SchNetCalculator
from ase_schnet.modelfile import save_model


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory):
    return save_model(tmp_path_factory.mktemp("models") / "tiny", random_model(members=2, pbc=True))


@pytest.fixture
def calc(model_dir):
    return SchNetCalculator(model_dir)


@pytest.fixture
def counted(calc, monkeypatch):
    """The calculator and the list of its evaluations."""
    calls, evaluate = [], calc._engine.evaluate
    monkeypatch.setattr(calc._engine, "evaluate", lambda *a: (calls.append(1), evaluate(*a))[1])
    return calc, calls


def one_ulp(atoms):
    atoms.positions[3, 1] = np.nextafter(atoms.positions[3, 1], 9.0)


def ulp_of_cell(atoms):
    atoms.cell[2, 2] = np.nextafter(atoms.cell[2, 2], 99.0)


CHANGES = {
    "positions": one_ulp,
    "numbers": lambda a: a.numbers.__setitem__(2, 1),
    "cell": ulp_of_cell,
    "pbc": lambda a: a.set_pbc([True, True, False]),
}


@pytest.mark.parametrize("name", CHANGES)
def test_the_smallest_change_is_noticed(counted, name):
    calc, calls = counted
    atoms = diamond()
    atoms.calc = calc
    atoms.get_forces()
    assert calc.check_state(atoms) == []
    assert not calc.calculation_required(atoms, ["energy", "forces"])
    CHANGES[name](atoms)  # in place, behind ASE's back
    assert calc.check_state(atoms) == [name]
    assert calc.calculation_required(atoms, ["energy"])
    forces = atoms.get_forces()
    assert len(calls) == 2
    fresh = atoms.copy()
    fresh.calc = SchNetCalculator(calc.parameters.model)
    np.testing.assert_allclose(forces, fresh.get_forces(), rtol=0, atol=1e-12)
    assert calc.check_state(atoms) == []


def test_several_changes_are_all_named(calc):
    atoms = diamond()
    assert calc.check_state(atoms) == list(all_changes)  # nothing known yet
    calc.get_property("energy", atoms)
    for change in CHANGES.values():
        change(atoms)
    assert calc.check_state(atoms) == ["positions", "numbers", "cell", "pbc"]
    assert calc.check_state(atoms[:3]) == ["positions", "numbers", "cell", "pbc"]
    assert calc.check_state(diamond()) == []


def test_a_change_and_back_is_a_change(counted):
    calc, calls = counted
    atoms = diamond()
    atoms.calc = calc
    first = atoms.get_forces()
    atoms.positions += 0.01
    atoms.get_forces()
    atoms.positions[:] = diamond().positions
    np.testing.assert_array_equal(atoms.get_forces(), first)
    assert len(calls) == 3


def test_one_evaluation_for_forces_energy_forces_and_stress(counted):
    calc, calls = counted
    atoms = diamond()
    atoms.calc = calc
    atoms.get_forces()
    atoms.get_potential_energy()
    atoms.get_forces()
    atoms.get_stress()
    atoms.get_potential_energies()
    calc.get_property("forces_std", atoms)
    atoms.copy().calc = calc
    calc.get_property("energy", atoms.copy())  # an equal structure is the same state
    assert len(calls) == 1


def test_what_is_no_input_of_the_network_asks_for_nothing_new(counted):
    calc, calls = counted
    atoms = diamond()
    atoms.calc = calc
    atoms.get_forces()
    atoms.set_initial_charges(np.arange(8) - 3.5)
    atoms.set_initial_magnetic_moments(np.ones(8))
    atoms.set_velocities(np.ones((8, 3)))
    atoms.set_masses(np.ones(8))
    atoms.info["note"] = "x"
    atoms.set_constraint(FixAtoms([0]))
    assert not atoms.get_forces()[0].any()
    assert atoms.get_forces(apply_constraint=False)[0].any()
    assert len(calls) == 1


def test_the_last_structure_is_remembered_as_a_copy(calc):
    atoms = diamond()
    assert calc.atoms is None
    for change in (lambda a: None, *CHANGES.values()):
        change(atoms)
        calc.get_property("energy", atoms)
        assert calc.atoms == atoms
        assert calc.atoms is not atoms
    kept = calc.atoms.copy()
    atoms.positions += 1.0
    assert calc.atoms == kept
    calc.reset()
    assert calc.atoms is None
    assert calc.results == {}


def test_without_atoms_the_last_structure_is_meant(calc):
    atoms = diamond()
    energy = calc.get_potential_energy(atoms)
    assert calc.get_potential_energy() == energy
    np.testing.assert_array_equal(calc.get_forces(), calc.get_forces(atoms))
    calc.calculate()
    assert calc.results["energy"] == energy
    with pytest.raises(InputError, match="no structure"):
        SchNetCalculator(calc.parameters.model).calculate()


def test_calculate_fills_the_results_of_its_structure(calc):
    """As `ase.calculators.mixing` and other wrappers call it."""
    a, b = diamond(), ethanol()
    calc.calculate(a, ["energy"], all_changes)
    energy = calc.results["energy"]
    calc.calculate(b, ["energy"], ["positions"])
    assert calc.get_property("energy", b, allow_calculation=False) == calc.results["energy"]
    assert calc.get_property("energy", a, allow_calculation=False) is None
    assert calc.get_property("energy", a) == energy


def test_results_belong_to_the_caller(calc):
    """Every array is fresh: spoiling it spoils no later answer, and no later call changes it."""
    atoms = diamond()
    atoms.calc = calc
    atoms.get_forces()
    kept = {k: np.copy(v) for k, v in {**calc.results, **calc.results.extra}.items()}
    held = calc.results
    atoms.positions += np.random.default_rng(0).normal(scale=0.01, size=(8, 3))
    atoms.get_forces()
    for name, value in held.items():
        np.testing.assert_array_equal(value, kept[name], err_msg=name)
    for value in (*held.values(), *calc.results.values()):
        if isinstance(value, np.ndarray):
            value[...] = np.nan
    atoms.positions[:] = diamond().positions
    atoms.get_forces()
    for name, value in {**calc.results, **calc.results.extra}.items():
        np.testing.assert_array_equal(value, kept[name], err_msg=name)


def test_no_result_is_a_view_of_another(calc):
    calc.calculate(diamond())
    arrays = {
        k: v for k, v in {**calc.results, **calc.results.extra}.items() if isinstance(v, np.ndarray)
    }
    for a in arrays:
        assert arrays[a].dtype == np.float64
        assert arrays[a].flags.c_contiguous
        assert arrays[a].flags.writeable
        for b in arrays:
            assert a == b or not np.shares_memory(arrays[a], arrays[b]), (a, b)


def test_what_get_forces_returned_is_not_the_cache(calc):
    atoms = diamond()
    atoms.calc = calc
    forces = atoms.get_forces()
    kept = forces.copy()
    forces[:] = 0.0
    np.testing.assert_array_equal(atoms.get_forces(), kept)


def test_a_structure_that_fails_leaves_nothing_behind(calc):
    good, bad = diamond(), diamond()
    good.calc = bad.calc = calc
    energy = good.get_potential_energy()
    bad.positions[0] = bad.positions[1]
    for _ in range(2):
        with pytest.raises(InputError, match="same place"):
            bad.get_potential_energy()
        with pytest.raises(InputError, match="same place"):
            bad.get_forces()
    assert good.get_potential_energy() == energy


@pytest.mark.parametrize(
    "values", [(np.inf, -np.inf), (np.nan, 1.0), (np.inf, np.inf), (1e308, 1e308)]
)
def test_positions_that_are_no_numbers_are_one_clear_error(calc, values):
    """Infinities of both signs too, whose sum numpy warns of."""
    atoms = diamond()
    atoms.calc = calc
    atoms.pbc = False
    energy = atoms.get_potential_energy()
    bad = atoms.copy()
    bad.calc = calc
    bad.positions[[2, 5], 1] = values
    if np.isfinite(values).all():  # absurd, but a place
        assert np.isfinite(bad.get_potential_energy())
    else:
        with pytest.raises(InputError, match=r"atoms \[.*\] are not finite"):
            bad.get_forces()
    assert atoms.get_potential_energy() == energy


def test_views_and_other_dtypes_of_the_same_numbers(calc):
    """Positions in Fortran order, numbers of another width: what counts is the numbers."""
    atoms = diamond()
    energy = calc.get_property("energy", atoms)
    other = atoms.copy()
    other.arrays["positions"] = np.asfortranarray(atoms.positions)
    other.arrays["numbers"] = atoms.numbers.astype(np.int32)
    assert calc.check_state(other) == []
    fresh = SchNetCalculator(calc.parameters.model)
    assert fresh.get_property("energy", other) == pytest.approx(energy, abs=1e-10)
    assert fresh.atoms == atoms
