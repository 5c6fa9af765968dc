"""Steps in compiled code are the steps of ASE: the same run, the same refusals, the same warnings."""

import threading
import warnings

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.lj import LennardJones
from ase.calculators.mixing import SumCalculator
from ase.constraints import FixAtoms
from factory import one_member

from ase_schnet import Monitor, OutsideTrainingWarning, SchNetCalculator, run_nve, run_nvt
from ase_schnet.dynamics import loop, steps
from ase_schnet.dynamics.compiled_steps import CompiledSteps
from ase_schnet.dynamics.integrators import NVE
from ase_schnet.dynamics.recorder import Recorder
from ase_schnet.dynamics.steps import StepsOfASE
from ase_schnet.runs.failures import SimulationExploded, SimulationFailed, SimulationStopped

COLUMNS = ("potential_energy_eV", "kinetic_energy_eV", "conserved_energy_eV", "temperature_K")
RUNS = {
    "verlet": (run_nve, {}),
    "bussi": (run_nvt, {}),
    "baoab": (run_nvt, {"thermostat": "langevin"}),
    "bussi on a ramp": (run_nvt, {"temperature_end_K": 600}),
    "baoab on a ramp": (run_nvt, {"temperature_end_K": 600, "thermostat": "langevin"}),
}


def ethanol() -> Atoms:
    return molecule("CH3CH2OH", calculator=SchNetCalculator("ethanol", threads=1))


def both_ways(monkeypatch, make, run, **options):
    """Atoms and record of a run in compiled code, and of the same by ASE."""
    kinds = []

    def seen(integrator, recorder, monitor):
        kinds.append(type(found := steps.steps_of(integrator, recorder, monitor)))
        return found

    results = []
    for steps_of in (seen, lambda integrator, recorder, _: StepsOfASE(integrator, recorder)):
        monkeypatch.setattr(loop, "steps_of", steps_of)
        atoms = make()
        results.append((atoms, run(atoms, progress=False, **options)))
    assert kinds == [CompiledSteps]
    return results


@pytest.mark.parametrize("name", RUNS)
def test_runs_are_those_of_ase(monkeypatch, name):
    run, physics = RUNS[name]
    options = {"temperature_K": 400, "time_ps": 0.06, "record_every": 3, "seed": 4}
    (atoms, record), (same, expected) = both_ways(monkeypatch, ethanol, run, **options, **physics)
    exact = (
        "bussi" not in name
    )  # ASE adds up the kinetic energy, which Bussi scales by, in another order
    tolerance = 0 if exact else 1e-13
    np.testing.assert_allclose(atoms.positions, same.positions, rtol=0, atol=tolerance)
    np.testing.assert_allclose(atoms.get_momenta(), same.get_momenta(), rtol=0, atol=tolerance)
    for column in (*COLUMNS, "energy_std_eV", "max_forces_std_eV_per_Ang"):
        now, then = getattr(record, column), getattr(expected, column)
        np.testing.assert_allclose(now, then, rtol=1e-11, atol=1e-11, err_msg=column)
    if record.rotation_gained_eV is not None:
        np.testing.assert_allclose(
            record.rotation_gained_eV, expected.rotation_gained_eV, atol=1e-25
        )
    assert atoms.get_potential_energy() == record.potential_energy_eV[-1]


def test_where_atoms_repel_and_distances_are_new_the_calculator_goes_on(monkeypatch):
    def squeezed() -> Atoms:
        atoms = ethanol()
        atoms.set_distance(2, 3, 0.55, fix=0)  # far below the shortest O-H of the training
        return atoms

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", OutsideTrainingWarning)
        (atoms, record), (same, expected) = both_ways(
            monkeypatch, squeezed, run_nve, temperature_K=10, time_ps=0.03, timestep_fs=0.25
        )
    assert sum(w.category is OutsideTrainingWarning for w in caught) == 2  # once each way
    np.testing.assert_array_equal(atoms.positions, same.positions)
    np.testing.assert_allclose(record.total_energy_eV, expected.total_energy_eV, atol=1e-11)


@pytest.mark.slow
def test_the_list_of_pairs_is_renewed_when_ase_would_renew_it(monkeypatch):
    def crystal() -> Atoms:
        atoms = bulk("Si", cubic=True)
        atoms.rattle(0.1, seed=1)
        atoms.calc = SchNetCalculator("silicon", skin=0.1, threads=1)
        return atoms

    (atoms, record), (same, expected) = both_ways(
        monkeypatch, crystal, run_nve, temperature_K=1500, time_ps=0.1, timestep_fs=1.0
    )
    moved = np.linalg.norm(atoms.positions - crystal().positions, axis=1).max()
    assert moved > 0.1, "no list was renewed"
    np.testing.assert_array_equal(atoms.positions, same.positions)
    np.testing.assert_allclose(record.pressure_GPa, expected.pressure_GPa, atol=1e-10)


def message_of(monkeypatch, kind: type[SimulationFailed], make, ase: bool, **options) -> str:
    with monkeypatch.context() as patched, warnings.catch_warnings():
        warnings.simplefilter("ignore", OutsideTrainingWarning)
        warnings.filterwarnings("ignore", message="a step of")
        if ase:
            patched.setattr(loop, "steps_of", lambda i, r, _: StepsOfASE(i, r))
        with pytest.raises(kind) as caught:
            run_nve(make(), progress=False, **options)
    assert len(caught.value.record) > 1
    return str(caught.value)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (SimulationStopped, {"temperature_K": 6000, "monitor": Monitor("stop")}),
        (SimulationExploded, {"temperature_K": 1000, "timestep_fs": 9.0}),
    ],
    ids=["monitor", "explosion"],
)
def test_a_run_ends_at_the_same_step_with_the_same_words(monkeypatch, kind, options):
    messages = [
        message_of(monkeypatch, kind, ethanol, ase, time_ps=1.0, **options) for ase in (False, True)
    ]
    assert messages[0] == messages[1]


def test_a_monitor_of_ones_own_sees_every_step_that_it_asks_for():
    seen = []

    class Mine:
        every = 7

        def start(self, atoms, directory, step):
            pass

        def check(self, atoms, step, time_fs, temperature_K):
            assert atoms.calc.results["energy"] == atoms.get_potential_energy()
            seen.append(step)

    run_nve(ethanol(), time_ps=0.02, progress=False, monitor=Mine())
    assert seen == [0, 7, 14, 21, 28, 35]


def test_a_monitor_that_looks_for_something_else_sees_its_steps_too():
    seen = []

    class Looks(Monitor):
        def check(self, atoms, step, time_fs, temperature_K):
            seen.append(step)
            super().check(atoms, step, time_fs, temperature_K)

    run_nve(ethanol(), time_ps=0.02, progress=False, monitor=Looks("stop", every=20))
    assert seen == [0, 20, 40]


def frozen() -> Atoms:
    atoms = ethanol()
    atoms.set_constraint(FixAtoms([0]))
    return atoms


def summed() -> Atoms:
    atoms = ethanol()
    atoms.calc = SumCalculator([atoms.calc, LennardJones()])
    return atoms


class Shifted(SchNetCalculator):
    """Of a user, who adds something to the results."""

    def calculate(self, *args, **kwargs):
        super().calculate(*args, **kwargs)
        self.results["energy"] += 1.0


def changed() -> Atoms:
    return molecule("CH3CH2OH", calculator=Shifted("ethanol"))


@pytest.mark.parametrize("make", [frozen, summed, changed])
def test_constraints_and_other_calculators_are_left_to_ase(make):
    atoms = make()
    settings = {"timestep_fs": 0.5, "record_every": 1, "ensemble": "nve"}
    integrator = NVE(atoms, 0.5, 20, np.random.default_rng(0))
    found = steps.steps_of(integrator, Recorder(integrator, settings, atoms), None)
    assert isinstance(found, StepsOfASE)


def test_threads_that_share_a_calculator_do_not_disturb_each_other():
    shared = one_member("ethanol")

    def run(seed: int, calculator) -> np.ndarray:
        atoms = molecule("CH3CH2OH", calculator=calculator)
        return run_nve(atoms, time_ps=0.1, seed=seed, progress=False).potential_energy_eV

    found = {}
    workers = [
        threading.Thread(target=lambda s=s: found.update({s: run(s, shared)})) for s in range(3)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for seed, energies in found.items():
        np.testing.assert_array_equal(energies, run(seed, one_member("ethanol")))
