"""Move many runs in threads: each takes the one that is farthest behind, and moves it by a turn.

Within a turn nobody waits for anybody; compiled steps do not hold Python's lock.
"""

import threading
from collections.abc import Callable
from heapq import heapify, heappop, heappush

from tqdm import tqdm

from ase_schnet.dynamics.exchange import Exchange
from ase_schnet.dynamics.loop import Run, propagation
from ase_schnet.runs.failures import SimulationFailed
from ase_schnet.runs.options import RunOptions
from ase_schnet.runs.record import MDRecord
from ase_schnet.runs.rundir import RESTART_SECONDS
from ase_schnet.runtime.progress import is_hidden

#: A thread keeps a replica for so many steps: long enough for its data to come into the cache.
STEPS_OF_A_TURN = 200
#: To write a restart point takes a disk some 20 ms: of many replicas each has its own less often.
RESTART_SECONDS_OF_EACH = 0.5
#: Seconds between looks of the thread that was asked.
PATIENCE_S = 0.1


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

    def __init__(self, run: Run, exchange: Exchange | None, number: int):
        self.run, self.step, self.is_over = run, run.first_step, False
        self._failure: SimulationFailed | None = None
        if run.directory is not None:
            run.directory.restart_seconds = RESTART_SECONDS + number * RESTART_SECONDS_OF_EACH
        self._sittings = propagation(run, stops=() if exchange is None else (exchange.every,))

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


def move_all(
    runs: list[Run], exchange: Exchange | None, threads: int, options: RunOptions
) -> list[MDRecord]:
    """Move all runs to their end, with an exchange from one to the next; return their records."""
    replicas = [Replica(run, exchange, len(runs)) for run in runs]

    def done() -> int:
        """Count the steps; those that a failed replica will never do, too."""
        return sum(r.run.n_steps if r.is_over else r.step for r in replicas)

    total, hidden = len(replicas) * options.n_steps, is_hidden(options.progress)
    with tqdm(total=total, initial=done(), unit="step", disable=hidden) as bar:
        while left := [replica for replica in replicas if not replica.is_over]:
            upto = options.n_steps
            if exchange is not None:
                upto = min(upto, exchange.next_step)
            _take_turns(left, upto, threads, lambda: bar.update(done() - bar.n))
            if upto < options.n_steps:
                exchange.attempt([not replica.is_over for replica in replicas])
    return [replica.record for replica in replicas]


def _take_turns(
    replicas: list[Replica], upto: int, threads: int, show: Callable[[], object]
) -> None:
    """Move replicas to step ``upto``, in threads; the one that is farthest behind first."""
    waiting = [
        (replica.step, k)
        for k, replica in enumerate(replicas)
        if replica.step < upto or replica.step >= replica.run.n_steps
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
