"""Run many trajectories of one structure side by side: other seeds, other temperatures.

Each is the run that ``run_nve``, ``run_nvt`` or ``run_npt`` would make of it alone, to the last bit, in a run
directory of its own. Threads take the one that is farthest behind and move it by a sitting; within a sitting
nobody waits for anybody.
"""

import os
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from copy import copy
from dataclasses import replace
from heapq import heapify, heappop, heappush
from pathlib import Path
from typing import Any, Unpack

import numpy as np
from ase import Atoms
from tqdm import tqdm

from ase_schnet.arguments import whole
from ase_schnet.cores import cores
from ase_schnet.dynamics.arguments import START_TEMPERATURE_K, warn_of_coarse_steps
from ase_schnet.dynamics.exchange import Exchange
from ase_schnet.dynamics.loop import propagation
from ase_schnet.dynamics.plans import PLANS, Plan
from ase_schnet.dynamics.start import Begun, begun, check
from ase_schnet.runs.failures import SimulationFailed
from ase_schnet.runs.options import RunKeywords, RunOptions, refuse_unknown, takes
from ase_schnet.runs.record import MDRecord
from ase_schnet.runs.rundir import RESTART_SECONDS

#: Before the number of a replica, in the names of directories.
PREFIX = "replica_"
#: A thread keeps a replica for so many steps: long enough for its data to come into the cache.
STEPS_OF_A_TURN = 200
#: To write a restart point takes a disk some 20 ms: of many replicas each has its own less often.
RESTART_SECONDS_OF_EACH = 0.5
#: Seconds between looks of the thread that was asked.
PATIENCE_S = 0.1


@takes(RunOptions)
def run_replicas(
    atoms: Atoms | Sequence[Atoms],
    replicas: int | None = None,
    *,
    ensemble: str = "nve",
    temperature_K: float | Sequence[float] | None = START_TEMPERATURE_K,
    physics: dict[str, Any] | None = None,
    exchange_every: int | None = None,
    threads: int | None = None,
    **options: Unpack[RunKeywords],
) -> list[MDRecord]:
    """Run independent replicas of a structure at once, and return the record of each.

    A replica that fails or that its monitor stops does not stop the others; its record says why
    (``failure``). ``atoms`` are left as they are.

    Parameters
    ----------
    atoms
        With a :class:`~ase_schnet.calculator.SchNetCalculator` on the CPU, or one structure for each replica,
        of the same atoms, of which the first has the calculator.
    replicas
        Number of replicas; None: that of the structures or of the temperatures.
    ensemble
        "nve", "nvt" or "npt".
    temperature_K
        One for all, or one for each.
    physics
        What else :func:`~ase_schnet.dynamics.md.run_nvt` and its like take of the ensemble, for example
        ``{"thermostat": "langevin"}``.
    exchange_every
        Steps between attempts to exchange the structures of neighbours in ``temperature_K``, whose
        temperatures must then rise (see :class:`~ase_schnet.dynamics.exchange.Exchange`). Only at constant
        temperature. None: they are independent.
    threads
        None: ``OMP_NUM_THREADS`` where it is set, else one per core.
    **options
        Fields of :class:`~ase_schnet.runs.options.RunOptions`. Replica k has ``seed + k``, and its files are
        in ``run_dir/replica_k``.

    Raises
    ------
    ValueError
        For arguments that make no runs, before any of them begins.
    OSError
        If a directory cannot be written; all can be resumed.
    """
    refuse_unknown("run_replicas", options, RunOptions)
    starts = _starts(atoms, replicas, temperature_K)
    plans = _plans(ensemble, temperature_K, physics or {}, len(starts))
    asked = RunOptions(**options)
    own = [_own_options(asked, k, len(starts)) for k in range(len(starts))]
    for start, plan in zip(starts, plans, strict=True):
        check(start, plan)
    warn_of_coarse_steps(starts[0], asked.timestep_fs, stacklevel=3)
    threads = _allowed(threads)
    exchange = None if exchange_every is None else Exchange(plans, exchange_every, asked)
    states = [None] * len(starts) if exchange is None else exchange.states
    with ExitStack() as opened:
        every = zip(starts, plans, own, states, strict=True)
        replicas_ = [
            Replica(opened.enter_context(begun(*one)), exchange, len(starts)) for one in every
        ]
        if exchange is not None:
            opened.enter_context(exchange.among([replica.run for replica in replicas_]))
        _move_all(replicas_, exchange, threads, asked)
    return [replica.record for replica in replicas_]


class Replica:
    """Move one run by sittings.

    Parameters
    ----------
    run
        In its first state.
    exchange
        With the other replicas, for which it stops.
    number
        How many there are.

    Attributes
    ----------
    step
        How many steps are done.
    is_over
        Whether it has come to its end, or failed.
    """

    def __init__(self, run: Begun, exchange: Exchange | None, number: int):
        self.run, self.is_over = run, False
        self.step = (
            0 if run.directory is None or run.directory.begin is None else run.directory.begin.step
        )
        self._failure: SimulationFailed | None = None
        if run.directory is not None:
            run.directory.restart_seconds = RESTART_SECONDS + number * RESTART_SECONDS_OF_EACH
        self._sittings = propagation(*run, stops=() if exchange is None else (exchange.every,))

    @property
    def record(self) -> MDRecord:
        """What was measured."""
        return self.run.recorder.record(None if self._failure is None else str(self._failure))

    def move(self, upto: int, stop: threading.Event) -> None:
        """Do the steps of a turn, not beyond ``upto``; fewer if ``stop`` is set."""
        last = min(upto, self.step + STEPS_OF_A_TURN)
        try:
            for step in self._sittings:
                self.step = step
                if step < self.run.n_steps and (step >= last or stop.is_set()):
                    return
        except SimulationFailed as failure:
            self._failure = failure
        self.is_over = True


def _move_all(
    replicas: list[Replica], exchange: Exchange | None, threads: int, options: RunOptions
) -> None:
    """Move all replicas to their end; with an exchange, from one to the next."""
    hidden = None if options.progress is None else not options.progress

    def done() -> int:
        """Count the steps; those that a failed replica will never do, too."""
        return sum(r.run.n_steps if r.is_over else r.step for r in replicas)

    with tqdm(
        total=len(replicas) * options.n_steps, initial=done(), unit="step", disable=hidden
    ) as bar:
        while left := [replica for replica in replicas if not replica.is_over]:
            upto = options.n_steps
            if exchange is not None:
                upto = min(upto, exchange.next_after(min(replica.step for replica in left)))
            _take_turns(left, upto, threads, lambda: bar.update(done() - bar.n))
            if upto < options.n_steps:
                exchange.attempt(upto, [not replica.is_over for replica in replicas])


def _take_turns(
    replicas: list[Replica], upto: int, threads: int, show: Callable[[], object]
) -> None:
    """Move replicas to step ``upto``, in threads; the one that is farthest behind first."""
    waiting = [
        (replica.step, k)
        for k, replica in enumerate(replicas)
        if replica.step < upto or replica.step == 0
    ]
    heapify(waiting)
    lock, stop, errors = threading.Lock(), threading.Event(), []

    def work() -> None:
        while not stop.is_set():
            with lock:
                if not waiting:
                    return
                k = heappop(waiting)[1]
            replica = replicas[k]
            try:
                replica.move(upto, stop)
            except BaseException as error:
                errors.append(error)
                stop.set()
                return
            if not replica.is_over and replica.step < upto:
                with lock:
                    heappush(waiting, (replica.step, k))

    workers = [threading.Thread(target=work, daemon=True) for _ in range(threads)]
    try:
        for worker in workers:
            worker.start()
        for worker in workers:
            while worker.is_alive():
                worker.join(PATIENCE_S)
                show()
    finally:  # Ctrl-C, too
        stop.set()
        for worker in workers:
            worker.join()
    if errors:
        raise errors[0]


def _starts(atoms: Atoms | Sequence[Atoms], replicas: int | None, temperature_K) -> list[Atoms]:
    """Return a structure for each replica, with a calculator of its own."""
    given = [atoms] if isinstance(atoms, Atoms) else list(atoms)
    if not given:
        raise ValueError("there are no structures to start replicas from")
    counts = {} if replicas is None else {"replicas": whole("replicas", replicas, 1)}
    if len(given) > 1:
        counts["structures"] = len(given)
    if np.ndim(temperature_K):
        counts["temperatures"] = len(temperature_K)
    if not counts:
        raise ValueError("say how many replicas: replicas=16")
    if len(set(counts.values())) > 1:
        said = ", ".join(f"{number} {name}" for name, number in counts.items())
        raise ValueError(f"one number of replicas is needed, got {said}")
    number = next(iter(counts.values()))
    given = given * number if len(given) == 1 else given
    calculator = given[0].calc
    sibling = getattr(calculator, "sibling", None)
    if calculator is not None and sibling is None:
        raise ValueError(
            f"{type(calculator).__name__} cannot be shared by replicas: they need a SchNetCalculator; run "
            "others one after the other"
        )
    starts = [one.copy() for one in given]
    for k, start in enumerate(starts):
        if not np.array_equal(start.numbers, starts[0].numbers):
            raise ValueError(f"structure {k} has other atoms than the first: replicas are of one")
        start.calc = None if sibling is None else sibling()
    return starts


def _plans(ensemble: str, temperature_K, physics: dict[str, Any], number: int) -> list[Plan]:
    if ensemble not in PLANS:
        raise ValueError(f"no ensemble {ensemble!r}: choose one of {', '.join(PLANS)}")
    each = list(temperature_K) if np.ndim(temperature_K) else [temperature_K] * number
    return [PLANS[ensemble](temperature_K=one, **physics) for one in each]


def _own_options(options: RunOptions, k: int, number: int) -> RunOptions:
    """Return the options of replica ``k``: its seed, its directory, its monitor."""
    directory = None
    if options.run_dir is not None:
        directory = Path(options.run_dir) / f"{PREFIX}{k:0{len(str(number - 1))}}"
    return replace(options, seed=options.seed + k, run_dir=directory, monitor=copy(options.monitor))


def _allowed(threads: int | None) -> int:
    if threads is not None:
        return whole("threads", threads, 1)
    wished = os.environ.get("OMP_NUM_THREADS", "")
    return min(cores(), int(wished)) if wished.isdigit() and int(wished) > 0 else cores()
