"""Replica exchange: neighbours in temperature exchange structures, and hot ones cross what cold ones cannot.

Sugita & Okamoto, Chem. Phys. Lett. 314, 141 (1999). Every so many steps the pairs (0, 1), (2, 3), ... or
(1, 2), (3, 4), ... in turn exchange with the probability min(1, exp((1/kT_i - 1/kT_j)(U_i - U_j))), momenta
rescaled to the other temperature. So every run directory is of one temperature. What an exchange changes of
the total energy counts as given by the thermostat.

``exchange.csv`` tells, for each attempt, which walker (the replica that it was at the start) is at which
temperature, and which neighbours have exchanged. ``exchange.npz`` holds the state of all replicas within one
period between two attempts: what a resumed run goes on from.
"""

import time
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
from ase import Atoms, units
from numpy.typing import NDArray

from ase_schnet.arguments import whole
from ase_schnet.dynamics.loop import Run
from ase_schnet.dynamics.plans import Plan
from ase_schnet.runs.exchange_log import EXCHANGE_LOG, ExchangeLog
from ase_schnet.runs.identity import constraints_of
from ase_schnet.runs.options import RunOptions
from ase_schnet.runs.restart import State
from ase_schnet.runs.rundir import RESTART_SECONDS
from ase_schnet.runtime.files import replaced, unreadable

EXCHANGE_STATE = "exchange.npz"


class Attempts(NamedTuple):
    """Hold how many attempts there were, who was at which temperature after the last, and the states then.

    ``states`` are those of the runs that took part, by their number; none where they are not known.
    """

    number: int
    walkers: NDArray
    states: dict[int, State]


class Exchange:
    """Exchange the structures of runs at rising temperatures.

    Parameters
    ----------
    starts, plans
        Of the runs, two or more.
    every
        Steps between attempts.
    options
        Of all runs; their ``run_dir`` is above those of the replicas.

    Attributes
    ----------
    states
        From which the runs go on; None where they begin or have restart points of their own.

    Raises
    ------
    ValueError
        For plans and structures that cannot exchange.
    """

    def __init__(
        self, starts: Sequence[Atoms], plans: Sequence[Plan], every: int, options: RunOptions
    ):
        self.every, self._options = whole("exchange_every", every, 1), options
        _require_one_system(starts)
        if any(
            not plan.kind.follows_ramps or "temperature_end_K" in plan.physics for plan in plans
        ):
            raise ValueError(
                "exchange is for ensemble='nvt' with thermostat bussi or langevin, each at one temperature"
            )
        self.temperatures_K = np.array([plan.physics["temperature_K"] for plan in plans])
        if len(plans) < 2 or not (np.diff(self.temperatures_K) > 0).all():
            raise ValueError(
                "exchange needs two or more temperatures, each above the one before: pass "
                "temperature_K=[300, 350, 410, ...]"
            )
        self._done = Attempts(0, np.arange(len(plans)), {})
        self._saved_at = -np.inf  # s, of a monotonic clock
        self.states: list[State | None] = [None] * len(plans)
        self._folder = None if options.run_dir is None else Path(options.run_dir)
        if self._folder is not None and options.resume and (self._folder / EXCHANGE_STATE).exists():
            self._read()

    @property
    def next_step(self) -> int:
        """Return the step of the next attempt."""
        return (self._done.number + 1) * self.every

    @contextmanager
    def among(self, runs: list[Run]) -> Iterator[None]:
        """Exchange between runs within a ``with`` block."""
        self._runs = runs
        if self._folder is None:
            self._log = None
            yield
            return
        self._require_state()
        with ExchangeLog.open(
            self._folder / EXCHANGE_LOG, self.temperatures_K, self._done.number
        ) as self._log:
            try:
                yield
            finally:
                if self._done.number:  # else no attempt was made: each has its own restart point
                    self._save()

    def _require_state(self) -> None:
        """Raise ValueError where runs go on from beyond the first attempt, and its outcome is lost."""
        begins = [run.directory.begin for run in self._runs]
        if not self._done.number and any(begin and begin.step > self.every for begin in begins):
            raise ValueError(
                f"{self._folder} is damaged: {EXCHANGE_STATE}, which says who was at which temperature, is "
                "missing; choose another directory"
            )

    def attempt(self, are_alive: Sequence[bool]) -> None:
        """Try to exchange neighbours, all at ``next_step``; those that are over take no part."""
        step, event = self.next_step, self._done.number + 1
        rng = np.random.default_rng([self._options.seed, 2, event])
        accepted = np.full(len(self._runs) - 1, -1)  # not tried
        walkers = self._done.walkers.copy()
        for i in range((event + 1) % 2, len(self._runs) - 1, 2):
            chance = rng.random()
            if are_alive[i] and are_alive[i + 1]:
                accepted[i] = chance < self._probability(i, i + 1)
                if accepted[i]:
                    self._swap(i, i + 1)
                    walkers[[i, i + 1]] = walkers[[i + 1, i]]
        if self._log is None:
            self._done = Attempts(event, walkers, {})
            return
        alive = [k for k, lives in enumerate(are_alive) if lives]
        states = {k: self._state(k, step) for k in alive}
        self._log.write(step * self._options.timestep_fs, walkers, accepted)
        self._done = Attempts(event, walkers, states)  # at once: Ctrl-C comes before it or after it
        for k, state in states.items():
            self._runs[k].directory.kept = state
        if time.monotonic() - self._saved_at > RESTART_SECONDS:
            self._save()

    def _state(self, k: int, step: int) -> State:
        run = self._runs[k]
        return State.of(run.recorder.atoms, step, run.integrator.state())

    def _probability(self, i: int, j: int) -> float:
        """Return the probability with which two exchange."""
        inverse = 1 / (units.kB * self.temperatures_K)  # 1/eV
        energies = [self._runs[k].recorder.atoms.get_potential_energy() for k in (i, j)]
        exponent = (inverse[i] - inverse[j]) * (energies[0] - energies[1])
        return float(np.exp(min(exponent, 0.0)))

    def _swap(self, i: int, j: int) -> None:
        both = self._runs[i], self._runs[j]
        before = [_total_eV(run) for run in both]
        one, other = (run.recorder.atoms for run in both)
        scale = np.sqrt(self.temperatures_K[i] / self.temperatures_K[j])
        positions, momenta = one.get_positions(), one.get_momenta()
        one.set_positions(other.get_positions(), apply_constraint=False)
        one.set_momenta(scale * other.get_momenta(), apply_constraint=False)
        other.set_positions(positions, apply_constraint=False)
        other.set_momenta(momenta / scale, apply_constraint=False)
        for run, then in zip(both, before, strict=True):
            run.integrator.has_moved()
            run.integrator.given_eV += _total_eV(run) - then

    def _save(self) -> None:
        """Write the last state of every run; all are in one period between two attempts."""
        number, walkers, states = self._done
        arrays = {"rows": np.array(number), "walkers": walkers}
        arrays["temperatures_K"] = self.temperatures_K
        for k, run in enumerate(self._runs):
            run.directory.flush()
            # None of a run that failed at its start
            kept, after = run.directory.kept, states.get(k)
            if after is not None and (kept is None or kept.step <= after.step):
                kept = after
            arrays |= {f"{k}/{n}": value for n, value in (kept.arrays() if kept else {}).items()}
        self._log.flush()
        with replaced(self._folder / EXCHANGE_STATE) as there, there.open("wb") as file:
            np.savez(file, **arrays)
        self._saved_at = time.monotonic()

    def _read(self) -> None:
        path = self._folder / EXCHANGE_STATE
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as saved:
                known = saved["temperatures_K"]
                if not np.array_equal(known, self.temperatures_K):
                    kelvin = ", ".join(f"{one:g}" for one in known)
                    raise ValueError(
                        f"it is of {len(known)} temperatures, {kelvin} K: ask for the same"
                    )
                self._done = Attempts(int(saved["rows"]), saved["walkers"], {})
                for k in range(len(known)):
                    part = f"{k}/"
                    own = {n.removeprefix(part): saved[n] for n in saved if n.startswith(part)}
                    self.states[k] = State.from_arrays(own) if own else None
        except (ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(f"{path} cannot be gone on from: {unreadable(error)}") from None
        self._saved_at = time.monotonic()


def _require_one_system(starts: Sequence[Atoms]) -> None:
    """Raise ValueError for structures that differ in more than what is exchanged, positions and momenta."""
    first = starts[0]
    for k, start in enumerate(starts):
        alike = {
            "masses": np.array_equal(start.get_masses(), first.get_masses()),
            "cell": np.array_equal(start.cell.array, first.cell.array),
            "periodicity": np.array_equal(start.pbc, first.pbc),
            "constraints": constraints_of(start) == constraints_of(first),
        }
        for what, is_same in alike.items():
            if not is_same:
                raise ValueError(
                    f"structure {k} differs from the first in its {what}: an exchange is between "
                    "temperatures of one system"
                )


def _total_eV(run: Run) -> float:
    return run.recorder.atoms.get_potential_energy() + run.recorder.kinetic_energy()
