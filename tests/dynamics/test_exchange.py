"""Replica exchange keeps every temperature's own distribution, and helps the cold one over its barrier."""

import numpy as np
import pytest
from ase import Atoms, units
from ase.calculators.calculator import Calculator, all_changes
from ase.constraints import FixAtoms

from ase_schnet import ExchangeRecord, run_replicas
from ase_schnet.dynamics.exchange import Exchange
from ase_schnet.dynamics.plans import plan_nvt
from ase_schnet.plotting import plot_exchange
from ase_schnet.runs.exchange_log import ExchangeLog, ladder
from ase_schnet.runs.options import RunOptions
from ase_schnet.runs.restart import State

BARRIER_eV, TILT_eV = 0.25, 0.03


class DoubleWell(Calculator):
    """V(x) = B (x² − 1)² + T x, harmonic in y and z; x in Å."""

    implemented_properties = ("energy", "forces")

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        x, y, z = self.atoms.positions[0]
        energy = BARRIER_eV * (x * x - 1) ** 2 + TILT_eV * x + 0.5 * (y * y + z * z)
        slope = 4 * BARRIER_eV * x * (x * x - 1) + TILT_eV
        self.results = {"energy": energy, "forces": np.array([[-slope, -y, -z]])}

    def sibling(self):
        """Return one for another thread."""
        return DoubleWell()


def population(temperature_K: float) -> float:
    """Of the well at positive x, by quadrature."""
    x = np.linspace(-3, 3, 20_001)
    weight = np.exp(-(BARRIER_eV * (x * x - 1) ** 2 + TILT_eV * x) / (units.kB * temperature_K))
    return float(weight[x > 0].sum() / weight.sum())


KELVIN = [200.0, 400.0, 800.0, 1600.0]
WELL = {
    "ensemble": "nvt",
    "temperature_K": KELVIN,
    "physics": {"thermostat": "langevin", "time_constant_fs": 100.0},
    "timestep_fs": 5.0,
    "trajectory_every": 4,
    "progress": False,
}


def start() -> Atoms:
    return Atoms("C", [[1.0, 0.0, 0.0]], calculator=DoubleWell())  # in the well that is less deep


@pytest.mark.slow
def test_populations_of_a_double_well_are_the_known_ones(tmp_path):
    from ase.io import read

    options = WELL | {"record_every": 4}
    run_replicas(start(), exchange_every=20, time_ps=20, run_dir=tmp_path / "x", **options)
    for k, kelvin in enumerate(KELVIN):
        frames = read(tmp_path / "x" / f"replica_{k:03d}" / "trajectory.traj", index="100:")
        right = np.array([frame.positions[0, 0] > 0 for frame in frames], dtype=float)
        blocks = right[: len(right) // 20 * 20].reshape(20, -1).mean(axis=1)
        error = max(blocks.std(ddof=1) / np.sqrt(20), 0.01)
        assert abs(right.mean() - population(kelvin)) < 4 * error, (kelvin, right.mean())
    record = ExchangeRecord.read(tmp_path / "x")
    assert (record.acceptance > 0.2).all()
    assert record.round_trips.sum() > 5
    run_replicas(
        start(), time_ps=10, run_dir=tmp_path / "alone", **(options | {"temperature_K": KELVIN[:1]})
    )
    frames = read(tmp_path / "alone" / "replica_000" / "trajectory.traj", index=":")
    stays = np.mean([frame.positions[0, 0] > 0 for frame in frames])
    assert abs(stays - population(KELVIN[0])) > 0.3, "without exchange the cold one crosses, too"


def test_what_a_thermostat_conserves_does_not_jump_at_an_exchange(tmp_path):
    options = WELL | {"timestep_fs": 1.0, "trajectory_every": 1000}
    records = run_replicas(start(), exchange_every=10, time_ps=1, run_dir=tmp_path / "x", **options)
    record = ExchangeRecord.read(tmp_path / "x")
    assert (record.exchanged == 1).sum() > 20
    for one in records:
        assert np.ptp(one.conserved_energy_eV) < 1e-3 < np.ptp(one.total_energy_eV)


def test_the_log_tells_who_was_where_and_can_be_drawn(tmp_path):
    run_replicas(start(), exchange_every=10, time_ps=1, run_dir=tmp_path / "x", **WELL)
    record = ExchangeRecord.read(tmp_path / "x")
    np.testing.assert_allclose(record.time_fs, 50.0 * np.arange(1, 20))
    np.testing.assert_array_equal(np.sort(record.walkers, axis=1), np.tile(range(4), (19, 1)))
    np.testing.assert_array_equal(record.exchanged[0] >= 0, [True, False, True])
    np.testing.assert_array_equal(record.exchanged[1] >= 0, [False, True, False])
    np.testing.assert_allclose(record.temperatures_K, KELVIN)
    figure = plot_exchange(tmp_path / "x")
    assert len(figure.axes) == 2
    assert "walkers" in figure.axes[0].get_title()
    assert len(plot_exchange(record, axes=figure.axes[0]).axes) == 2
    with pytest.raises(ValueError, match="no replica exchange"):
        ExchangeRecord.read(tmp_path)


def test_other_temperatures_do_not_go_on(tmp_path):
    run_replicas(start(), exchange_every=10, time_ps=0.5, run_dir=tmp_path / "x", **WELL)
    other = WELL | {"temperature_K": [200.0, 400.0, 800.0, 1500.0]}
    with pytest.raises(ValueError, match="temperatures"):
        run_replicas(
            start(), exchange_every=10, time_ps=1, run_dir=tmp_path / "x", resume=True, **other
        )


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda atoms: atoms.set_masses([13.0]), "masses"),
        (lambda atoms: atoms.set_cell([9.0, 9.0, 9.0]), "cell"),
        (lambda atoms: atoms.set_pbc(True), "periodicity"),
    ],
)
def test_isotopologues_and_other_cells_are_not_exchanged(change, what):
    starts = [start() for _ in KELVIN]
    change(starts[2])
    with pytest.raises(ValueError, match=f"structure 2 differs from the first in its {what}"):
        run_replicas(starts, exchange_every=10, time_ps=0.5, **WELL)


def test_atoms_that_are_held_at_one_temperature_alone_are_not_exchanged():
    plans = [plan_nvt(kelvin) for kelvin in (200.0, 400.0)]
    free, held = Atoms("C2"), Atoms("C2", constraint=FixAtoms([0]))
    with pytest.raises(ValueError, match="structure 1 differs from the first in its constraints"):
        Exchange([free, held], plans, 10, RunOptions())


def test_a_ladder_is_a_geometric_progression():
    np.testing.assert_allclose(ladder(300, 600, 3), [300, 300 * np.sqrt(2), 600])
    with pytest.raises(ValueError, match="two or more temperatures"):
        ladder(600, 300, 4)


FOR_CTRL_C = {"exchange_every": 10, "time_ps": 0.75, **WELL}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The records that nobody interrupts, and their log."""
    folder = tmp_path_factory.mktemp("whole")
    return run_replicas(start(), run_dir=folder, **FOR_CTRL_C), folder / "exchange.csv"


@pytest.mark.parametrize("step", [10, 100])
@pytest.mark.parametrize("call", [1, 5, 7, 8, None])
def test_ctrl_c_in_the_middle_of_an_exchange_leaves_all_of_it_or_nothing(
    call, step, whole, tmp_path, monkeypatch
):
    """While a run is checkpointed (1), while its state after an exchange is kept, or behind the log."""
    (undisturbed, log), calls, of = whole, [], State.of

    def interrupted(*given):
        state = of(*given)
        calls.append(given[1])
        if given[1] == step and calls.count(step) == call:
            raise KeyboardInterrupt
        return state

    class Log(ExchangeLog):
        def write(self, *given):
            super().write(*given)
            if given[0] == 5.0 * step and call is None:  # fs
                raise KeyboardInterrupt

    monkeypatch.setattr("ase_schnet.dynamics.exchange.State.of", interrupted)
    monkeypatch.setattr("ase_schnet.dynamics.exchange.ExchangeLog", Log)
    with pytest.raises(KeyboardInterrupt):
        run_replicas(start(), run_dir=tmp_path / "x", **FOR_CTRL_C)
    monkeypatch.undo()
    again = run_replicas(start(), run_dir=tmp_path / "x", resume=True, **FOR_CTRL_C)
    for one, other in zip(undisturbed, again, strict=True):
        np.testing.assert_array_equal(one.total_energy_eV, other.total_energy_eV)
    assert (tmp_path / "x" / "exchange.csv").read_bytes() == log.read_bytes()
