"""Replicas are the single runs, to the last byte of their logs; one that stops stops no other."""

import os
import re
import signal
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.calculators.emt import EMT
from factory import one_member
from forked import end, fork

from ase_schnet import ExchangeRecord, Monitor, SchNetCalculator, run_nve, run_nvt, run_replicas
from ase_schnet.dynamics import replicas
from ase_schnet.dynamics.turns import move_all
from ase_schnet.inference.torch_ensemble import TorchEnsemble
from ase_schnet.runs.record import MDRecord

RUNS = {
    "nve": (run_nve, {"ensemble": "nve"}, {}),
    "bussi": (run_nvt, {"ensemble": "nvt"}, {}),
    "langevin": (
        run_nvt,
        {"ensemble": "nvt", "physics": {"thermostat": "langevin"}},
        {"thermostat": "langevin"},
    ),
}
SHORT = {"time_ps": 0.06, "record_every": 2, "trajectory_every": 30, "progress": False}


def ethanol() -> Atoms:
    return molecule("CH3CH2OH", calculator=one_member("ethanol"))


@pytest.mark.parametrize("name", RUNS)
def test_each_is_the_run_that_it_would_be_alone(tmp_path, name):
    run, many, one = RUNS[name]
    atoms, kelvin = ethanol(), [200, 300, 400]
    start = atoms.get_positions()
    common = SHORT | {"seed": 7, "monitor": Monitor("stop")}
    records = run_replicas(
        atoms, temperature_K=kelvin, run_dir=tmp_path / "many", threads=2, **common, **many
    )
    np.testing.assert_array_equal(atoms.positions, start)
    for k, record in enumerate(records):
        alone = tmp_path / f"alone{k}"
        own = common | {"seed": 7 + k, "temperature_K": kelvin[k], "run_dir": alone}
        expected = run(ethanol(), **own, **one)
        np.testing.assert_array_equal(record.total_energy_eV, expected.total_energy_eV)
        there = tmp_path / "many" / f"replica_{k:03d}"
        for file in ("log.csv", "trajectory.traj"):
            assert (there / file).read_bytes() == (alone / file).read_bytes(), file
        assert MDRecord.read(there).failure is None


def test_one_that_is_stopped_does_not_stop_the_others(tmp_path):
    records = run_replicas(
        ethanol(),
        temperature_K=[300, 20_000, 300],
        run_dir=tmp_path / "r",
        monitor=Monitor("stop"),
        **SHORT,
    )
    assert [record.failure is None for record in records] == [True, False, True]
    assert "K" in records[1].failure
    kept = MDRecord.read(tmp_path / "r" / "replica_001").failure
    assert records[1].failure.startswith(kept)
    assert len(records[2]) == 61 > len(records[1])


def test_one_that_is_stopped_takes_no_part_in_the_exchange(tmp_path):
    options = SHORT | {"exchange_every": 10, "temperature_K": [300, 400, 25_000], "ensemble": "nvt"}
    for resume, failed in ((False, 1), (True, 1)):
        options |= {"run_dir": tmp_path / "r", "resume": resume, "monitor": Monitor("stop")}
        records = run_replicas(ethanol(), **options)
        assert sum(record.failure is not None for record in records) == failed
        options["time_ps"] = 0.12
    record = ExchangeRecord.read(tmp_path / "r")
    assert len(record.time_fs) == 23
    assert (record.exchanged[:, 1] == -1).all()
    assert (record.exchanged[:, 0] >= 0).sum() == 12


@pytest.mark.parametrize("options", [{}, {"exchange_every": 10, "temperature_K": [300, 400]}])
def test_what_is_complete_stays_as_it_is_when_it_is_resumed(tmp_path, options):
    common = SHORT | {"ensemble": "nvt", "run_dir": tmp_path / "r"} | options
    first, again = (run_replicas(ethanol(), 2, resume=resume, **common) for resume in (False, True))
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one.total_energy_eV, other.total_energy_eV)


def test_structures_of_their_own():
    starts = [ethanol(), ethanol()]
    starts[1].positions[2] += (0.0, 0.0, 0.05)
    records = run_replicas(starts, **SHORT)
    first = [record.potential_energy_eV[0] for record in records]
    assert first[0] == starts[0].get_potential_energy()
    assert first[1] == pytest.approx(starts[1].get_potential_energy(), abs=1e-12)


WATER = molecule("H2O")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "say how many replicas"),
        ({"replicas": 0}, "replicas must be a whole number"),
        ({"replicas": 3, "temperature_K": [300, 400]}, "3 replicas, 2 temperatures"),
        ({"atoms": [], "replicas": 2}, "no structures"),
        ({"atoms": [ethanol, lambda: WATER]}, "structure 1 has other atoms"),
        (
            {"atoms": lambda: molecule("H2O", calculator=EMT()), "replicas": 2},
            "EMT cannot be shared",
        ),
        ({"atoms": lambda: WATER, "replicas": 2}, "no calculator"),
        ({"replicas": 2, "ensemble": "nvp"}, "no ensemble 'nvp'"),
        (
            {"replicas": 2, "physics": {"keep_momenta": True}, "temperature_K": None},
            "all be one run",
        ),
        (
            {"replicas": 2, "ensemble": "nvt", "physics": {"thermostt": "bussi"}},
            "physics of ensemble 'nvt' has no thermostt: it takes temperature_end_K, thermostat",
        ),
        ({"replicas": 2, "threads": 0}, "threads must be a whole number"),
        ({"replicas": 2, "exchange_every": 10}, "exchange is for ensemble='nvt'"),
        (
            {"replicas": 2, "ensemble": "nvt", "exchange_every": 10},
            "each above the one before",
        ),
        (
            {"temperature_K": [300], "ensemble": "nvt", "exchange_every": 10},
            "two or more temperatures",
        ),
    ],
)
def test_what_makes_no_runs_is_refused_before_any_begins(tmp_path, arguments, message):
    given = dict(arguments)
    atoms = given.pop("atoms", ethanol)
    made = [one() for one in atoms] if isinstance(atoms, list) else atoms()
    with pytest.raises(ValueError, match=message):
        run_replicas(made, run_dir=tmp_path / "r", **SHORT, **given)
    assert not (tmp_path / "r").exists()


def test_a_model_on_a_gpu_is_refused():
    """Without a GPU the engine of torch runs on the CPU: it is as little shared among threads."""
    atoms = ethanol()
    atoms.calc._evaluator.engine = TorchEnsemble(atoms.calc.trained)
    with pytest.raises(ValueError, match="on the CPU, not on cpu"):
        run_replicas(atoms, 2, **SHORT)


def test_an_unknown_option_is_named():
    with pytest.raises(TypeError, match="did you mean record_every"):
        run_replicas(ethanol(), 2, record_evry=2)


def test_an_error_of_one_thread_ends_all_and_is_told(tmp_path, monkeypatch):
    def full(self, rows):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ase_schnet.runs.rundir.RunDirectory.write_samples", full)
    with pytest.raises(OSError, match="No space left"):
        run_replicas(ethanol(), 3, run_dir=tmp_path / "r", **SHORT)


LONG = {"time_ps": 0.3, "record_every": 2, "trajectory_every": 100, "progress": False}
EXCHANGE = {"exchange_every": 20, "temperature_K": np.geomspace(300, 600, 16).tolist()}


def many(where: Path, options: dict) -> list[MDRecord]:
    chosen = {"temperature_K": 300} | options
    return run_replicas(ethanol(), 16, ensemble="nvt", run_dir=where, **(LONG | chosen))


def logs(where: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(where)): file.read_bytes() for file in sorted(where.rglob("*.csv"))
    }


@pytest.fixture(scope="module", params=[{}, EXCHANGE], ids=["independent", "exchange"])
def whole(request, tmp_path_factory) -> tuple[Path, dict]:
    """Sixteen runs that nobody interrupted, and their options."""
    folder = tmp_path_factory.mktemp("whole") / "runs"
    many(folder, request.param)
    return folder, request.param


@pytest.mark.slow
@pytest.mark.parametrize("signal_", [signal.SIGKILL, signal.SIGINT])
def test_killed_and_resumed_the_logs_of_sixteen_are_those_of_an_uninterrupted_run(
    tmp_path, whole, signal_
):
    (expected, options), killed = whole, tmp_path / "killed"
    log = killed / "replica_003" / "log.csv"
    process = fork(many, killed, options, said=tmp_path / "said")
    try:
        while process.is_alive() and not (log.exists() and log.read_bytes().count(b"\n") > 100):
            time.sleep(0.002)
        os.kill(process.pid, signal_)
        process.join(60)
        assert process.exitcode not in (0, None), "it had come to its end"
    finally:
        end(process)
    assert log.read_bytes().count(b"\n") < 301, "it had come to its end"
    many(killed, options | {"resume": True})
    assert logs(killed) == logs(expected)
    assert len(logs(expected)) == 16 + bool(options)


@pytest.mark.slow
def test_a_replica_takes_two_megabytes_at_most():
    atoms = ethanol()
    held = []

    def measured(*args):
        records = move_all(*args)
        held.append(tracemalloc.get_traced_memory()[0])
        return records

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(replicas, "move_all", measured)
        run_replicas(atoms, 2, **SHORT)
        held.clear()
        tracemalloc.start()
        run_replicas(atoms, 2, **SHORT)
        run_replicas(atoms, 34, **SHORT)
        tracemalloc.stop()
    assert (held[1] - held[0]) / 32 < 2e6


@pytest.mark.parametrize(
    ("words", "error", "text"),
    [
        ({"temperature_K": [300, "400"]}, ValueError, "temperature_K must be a number, or one for"),
        ({"temperature_K": []}, ValueError, "temperature_K must be a number, or one for each"),
        ({"thermostat": "langevin"}, TypeError, "physics={'thermostat': 'langevin'}"),
        ({"atoms": "ethanol.xyz"}, ValueError, r"structures (ase.Atoms), not str"),
    ],
)
def test_arguments_that_are_none_are_told_with_what_to_pass(words, error, text):
    atoms = molecule("CH3CH2OH")
    atoms.calc = SchNetCalculator("ethanol", threads=1)
    given = {"atoms": atoms, "replicas": None} | words
    with pytest.raises(error, match=re.escape(text)):
        run_replicas(ensemble="nvt", time_ps=0.01, **given)
