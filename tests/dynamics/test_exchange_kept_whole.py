"""A replica exchange goes on as a whole, its runs are told from others, its jumps are no fault of forces."""

import pytest
from ase.build import molecule

from ase_schnet import MDRecord, SchNetCalculator, TrajectorySignals, drift, run_nvt, run_replicas
from ase_schnet.dynamics.exchange import EXCHANGE_STATE
from ase_schnet.runs.force_scale import force_scale

KELVIN = [300.0, 424.0, 600.0]
LADDER = {"ensemble": "nvt", "temperature_K": KELVIN, "progress": False, "monitor": None}


@pytest.fixture(scope="module")
def ethanol():
    atoms = molecule("CH3CH2OH")
    atoms.calc = SchNetCalculator("ethanol", threads=1)
    return atoms


@pytest.fixture
def exchanged(ethanol, tmp_path):
    folder = tmp_path / "ladder"
    options = {"exchange_every": 10, "time_ps": 0.02, "trajectory_every": 2, "run_dir": folder}
    run_replicas(ethanol, **options, **LADDER)
    return folder


@pytest.mark.parametrize("every", [14, 40])
def test_forces_are_right_between_exchanges(ethanol, every):
    for record in run_replicas(ethanol, exchange_every=every, time_ps=0.4, **LADDER):
        assert record.exchange_every == every
        scale = force_scale(record)
        assert abs(scale.value - 1) + scale.error < 0.004


def test_wrong_forces_are_found_between_exchanges(ethanol):
    record = run_replicas(ethanol, exchange_every=40, time_ps=0.4, **LADDER)[0]
    values = {**vars(record)}
    held, potential = record.conserved_energy_eV, record.potential_energy_eV
    values["potential_energy_eV"] = potential / 1.03  # as if the forces were 1.03 of its slope
    values["conserved_energy_eV"] = held - potential + potential / 1.03
    assert force_scale(MDRecord(**values)).value == pytest.approx(1.03, abs=0.005)


def test_exchanges_every_few_steps_leave_no_verdict_on_forces_and_no_fault(ethanol):
    for record in run_replicas(ethanol, exchange_every=1, time_ps=0.2, **LADDER):
        verdict = drift(record)
        assert verdict.force_scale is None
        assert verdict.outcome != "FAIL"


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"exchange_every": 5}, "exchange_every was 10, now 5"),
        ({"exchange_every": None}, "only goes on as a whole"),
        ({"temperature_K": [300.0, 500.0, 700.0]}, "3 temperatures, 300, 424, 600 K: ask for"),
    ],
)
def test_an_exchange_goes_on_with_its_own_settings(ethanol, exchanged, change, text):
    options = LADDER | {"exchange_every": 10, "trajectory_every": 2} | change
    with pytest.raises(ValueError, match=text):
        run_replicas(ethanol, time_ps=0.03, run_dir=exchanged, resume=True, **options)


def test_one_temperature_of_an_exchange_does_not_go_on_alone(ethanol, exchanged):
    one = {"temperature_K": 300.0, "time_ps": 0.03, "trajectory_every": 2, "resume": True}
    with pytest.raises(ValueError, match="part of a replica exchange"):
        run_nvt(_copy(ethanol), run_dir=exchanged / "replica_000", **one)


def test_an_exchange_without_its_state_is_damaged(ethanol, exchanged):
    (exchanged / EXCHANGE_STATE).unlink()
    before = (exchanged / "exchange.csv").read_bytes()
    options = LADDER | {"exchange_every": 10, "trajectory_every": 2}
    with pytest.raises(ValueError, match=f"{EXCHANGE_STATE}.* is missing"):
        run_replicas(ethanol, time_ps=0.03, run_dir=exchanged, resume=True, **options)
    assert (exchanged / "exchange.csv").read_bytes() == before


def test_runs_that_exchange_have_no_spectrum(exchanged):
    with pytest.raises(ValueError, match="replica exchange"):
        TrajectorySignals.read(exchanged / "replica_001")


def test_a_run_and_replicas_do_not_share_a_directory(ethanol, exchanged, tmp_path):
    with pytest.raises(ValueError, match=r"holds replicas, such as .*replica_000"):
        run_nvt(_copy(ethanol), temperature_K=300, time_ps=0.01, run_dir=exchanged, resume=True)
    run_nvt(
        _copy(ethanol), temperature_K=300, time_ps=0.01, run_dir=tmp_path / "one", progress=False
    )
    with pytest.raises(ValueError, match="holds a run of its own"):
        run_replicas(ethanol, 2, time_ps=0.01, run_dir=tmp_path / "one", resume=True)


def test_a_run_that_is_longer_says_for_how_long_to_ask(ethanol, exchanged):
    options = LADDER | {"exchange_every": 10, "trajectory_every": 2}
    with pytest.raises(ValueError, match=r"ask for time_ps=0\.02 or more"):
        run_replicas(ethanol, time_ps=0.01, run_dir=exchanged, resume=True, **options)


def _copy(atoms):
    other = atoms.copy()
    other.calc = atoms.calc
    return other
