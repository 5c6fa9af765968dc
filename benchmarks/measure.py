"""The measurements: contestants alternated round by round, so that noise hits all alike."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from tqdm import tqdm

from benchmarks.lineup import Contestant
from benchmarks.pool import Script, Worker, WorkerFailed

BATCH_SECONDS = 0.3  # of calls, per contestant and round
NVE_SECONDS = 0.5
MAX_CALLS = 500  # in a batch
SETTLE_SECONDS = 0.05  # between contestants: lets the spinning threads of the last one go to sleep


class Workers:
    """The running workers of one number of threads, started when first asked."""

    def __init__(self, scripts: dict[str, Script], threads: int):
        self._scripts, self._threads = scripts, threads
        self._running: dict[tuple, Worker] = {}

    def of(self, contestant: Contestant) -> Worker:
        """The worker of a contestant; contestants of one package and environment share it."""
        key = (contestant.package, *sorted(contestant.env.items()))
        if key not in self._running:
            script = self._scripts[contestant.package]
            self._running[key] = Worker(script, self._threads, contestant.env)
        return self._running[key]

    def drop(self, contestant: Contestant) -> None:
        """Forget a worker that died, so that the next case starts a new one."""
        key = (contestant.package, *sorted(contestant.env.items()))
        worker = self._running.pop(key, None)
        if worker is not None:
            worker.close(kill=True)

    def close(self) -> None:
        """End them all."""
        for worker in self._running.values():
            worker.close()


@contextmanager
def workers(scripts: dict[str, Script], threads: int) -> Iterator[Workers]:
    """Workers that end with the block."""
    running = Workers(scripts, threads)
    try:
        yield running
    finally:
        running.close()


def request_of(contestant: Contestant, case: Path, members: int, threads: int) -> dict:
    """What a contestant's script needs to make its calculator."""
    return {
        "case": str(case),
        "members": members,
        "dtype": contestant.dtype,
        "threads": threads,
        "options": contestant.options,
    }


class Race:
    """One case with one number of members: every contestant set up, then timed in turns."""

    def __init__(self, running: Workers, lineup, case: Path, members: int, threads: int):
        self.about = {"case": case.stem, "members": members, "threads": threads}
        self._running = running
        self.failed: dict[str, str] = {}
        self.call_s: dict[str, float] = {}
        self._runners: list[Contestant] = []
        for contestant in (c for c in lineup if c.runs(case.stem, members)):
            request = request_of(contestant, case, members, threads)
            answer = self._ask(contestant, do="setup", **request)
            if answer:
                self._runners.append(contestant)
                self.call_s[contestant.name] = answer["call_s"]

    def calls(self, rounds: int, budget_s: float, bar: tqdm) -> list[dict]:
        """Records of seconds per call: median and minimum over all calls, and each round's median."""
        slowest = max([*self.call_s.values(), 1e-9])
        rounds = max(min(rounds, int(budget_s / max(slowest, BATCH_SECONDS))), min(rounds, 3))
        seconds: dict[str, list] = {c.name: [] for c in self._runners}
        for contestant, turn in self._turns(rounds, bar):
            n = int(np.clip(BATCH_SECONDS / self.call_s[contestant.name], 1, MAX_CALLS))
            answer = self._ask(contestant, do="time", calls=n, seed=1000 + turn)
            if answer:
                seconds[contestant.name].append(answer["seconds"])
        return [self._call_record(c, seconds[c.name]) for c in self._runners]

    def nve(self, rounds: int, log_energy: bool, bar: tqdm) -> list[dict]:
        """Records of NVE steps per second, median and maximum over the rounds."""
        rates: dict[str, list] = {c.name: [] for c in self._runners}
        for contestant, turn in self._turns(rounds, bar):
            answer = self._ask(
                contestant, do="nve", seconds=NVE_SECONDS, log_energy=log_energy, seed=turn
            )
            if answer:
                rates[contestant.name].append(answer["steps_per_s"])
        return [
            {
                "measure": "nve, energy read" if log_energy else "nve",
                **self.about,
                "contestant": c.name,
                "steps_per_s": float(np.median(rates[c.name])),
                "best_steps_per_s": max(rates[c.name]),
            }
            for c in self._runners
        ]

    def release(self) -> None:
        """Let the workers free their calculators."""
        for contestant in list(self._runners):
            self._ask(contestant, do="release")

    def _turns(self, rounds: int, bar: tqdm) -> Iterator[tuple[Contestant, int]]:
        """Each contestant once a round; who begins changes from round to round."""
        bar.reset(total=rounds)
        for turn in range(rounds):
            k = turn % max(len(self._runners), 1)
            for contestant in [*self._runners[k:], *self._runners[:k]]:
                if contestant in self._runners:
                    time.sleep(SETTLE_SECONDS)
                    yield contestant, turn
            bar.update()

    def _ask(self, contestant: Contestant, **request) -> dict | None:
        """The worker's answer; a failure is noted and takes the contestant out of this race."""
        worker = self._running.of(contestant)
        try:
            return worker.ask(key=contestant.name, **request) or {"done": True}
        except WorkerFailed as reason:
            self.failed[contestant.name] = str(reason)
            self._runners = [c for c in self._runners if c is not contestant]
            if str(reason).startswith(("process died", "no answer")):
                self._running.drop(contestant)
            return None

    def _call_record(self, contestant: Contestant, batches: list[list[float]]) -> dict:
        calls_ms = 1e3 * np.concatenate(batches)
        return {
            "measure": "call",
            **self.about,
            "contestant": contestant.name,
            "median_ms": float(np.median(calls_ms)),
            "min_ms": float(calls_ms.min()),
            "calls": len(calls_ms),
            "round_medians_ms": [1e3 * float(np.median(b)) for b in batches],
        }


def fresh_processes(scripts, lineup, case: Path, members: int, rounds: int, calls: int, bar):
    """Records of short lives: seconds to first forces, of the whole process, and memory; failures.

    With several rounds a first one, not counted, warms the disk caches.
    """
    answers: dict[str, list] = {}
    failed: dict[str, str] = {}
    runners = [c for c in lineup if c.starts and c.runs(case.stem, members)]
    first = -1 if rounds > 1 else 0
    bar.reset(total=rounds - first)
    for turn in range(first, rounds):
        for contestant in (c for c in runners if c.name not in failed):
            request = request_of(contestant, case, members, 1) | {"calls": calls}
            try:
                answer = scripts[contestant.package].once(request, contestant.env)
            except WorkerFailed as reason:
                failed[contestant.name] = str(reason)
                continue
            if turn >= 0:
                answers.setdefault(contestant.name, []).append(answer)
        bar.update()
    records = []
    for name, runs in answers.items():
        record = {"contestant": name, "case": case.stem, "members": members, "threads": 1}
        for key in ("first_forces_s", "process_s", "rss_MiB", "peak_MiB"):
            record[key] = float(np.median([run[key] for run in runs]))
        records.append(record)
    return records, failed
