"""Workers: one persistent process per package and number of threads, and short-lived ones for starts."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
)
TIMEOUT = 1800.0  # s; five models of 12,288 atoms take a while


class WorkerFailed(RuntimeError):
    """A contestant that could not do what it was asked; the message is one line for the table."""


@dataclass(frozen=True)
class Script:
    """A contestant's script with its interpreter, the directory of its models and where stderr goes."""

    python: Path
    path: Path
    models: Path
    log: Path

    def command(self, mode: str, *more: str) -> list[str]:
        """The command line of a mode of `contestants/worker.py`."""
        return [str(self.python), str(self.path), mode, str(self.models), *more]

    def prepare(self) -> None:
        """Write its random models. Raises WorkerFailed."""
        with self.log.open("a") as log:
            done = subprocess.run(
                self.command("prepare"), env=environment(1), stdout=log, stderr=log
            )
        if done.returncode:
            raise WorkerFailed(f"writing its models failed: {last_line(self.log)}")

    def once(self, request: dict, extra: dict | None = None) -> dict:
        """Run in a fresh process: its answer, with seconds to first forces and of the whole process."""
        command = self.command("once", json.dumps(request))
        with self.log.open("a") as log:
            born = time.monotonic()
            done = subprocess.run(
                command,
                env=environment(request["threads"], extra),
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
            died = time.monotonic()
        if done.returncode or not done.stdout:
            raise WorkerFailed(f"exit code {done.returncode}: {last_line(self.log)}")
        answer = json.loads(done.stdout)
        answer["first_forces_s"] = answer.pop("first_forces_at") - born
        answer["process_s"] = died - born
        return answer


class Worker:
    """A running script that answers one request at a time."""

    def __init__(self, script: Script, threads: int, extra: dict | None = None):
        self._log_path = script.log
        self._log = script.log.open("a")
        self._process = subprocess.Popen(
            script.command("serve"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=environment(threads, extra),
            text=True,
        )

    def ask(self, **request) -> dict:
        """The answer to a request. Raises WorkerFailed with the contestant's own error."""
        if self._process.poll() is not None:
            raise WorkerFailed(self._obituary())
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise WorkerFailed(self._obituary()) from None
        if not select.select([self._process.stdout], [], [], TIMEOUT)[0]:
            self.close(kill=True)
            raise WorkerFailed(f"no answer in {TIMEOUT:.0f} s, stopped")
        line = self._process.stdout.readline()
        if not line:
            raise WorkerFailed(self._obituary())
        answer = json.loads(line)
        if "error" in answer:
            raise WorkerFailed(answer["error"])
        return answer

    def close(self, kill: bool = False) -> None:
        """End the process."""
        if kill:
            self._process.kill()
        with contextlib.suppress(BrokenPipeError):  # it is dead already
            self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()
        self._log.close()

    def _obituary(self) -> str:
        return f"process died (exit code {self._process.wait()}): {last_line(self._log_path)}"


def environment(threads: int, extra: dict | None = None) -> dict[str, str]:
    """Ours without PYTHONPATH, with every library held to `threads`."""
    env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    return env | dict.fromkeys(THREAD_VARIABLES, str(threads)) | (extra or {})


def last_line(path: Path) -> str:
    """The last line of a log, usually the exception."""
    lines = [line for line in path.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1].strip()[:200] if lines else "nothing was printed"


def scripts_of(packages: dict[str, Path], scripts: dict[str, str], work: Path) -> dict[str, Script]:
    """package -> Script, for interpreters by package."""
    (work / "logs").mkdir(parents=True, exist_ok=True)
    found = {}
    for package, python in packages.items():
        log = work / "logs" / f"{package}.log"
        log.write_text("")
        path = HERE / "contestants" / scripts[package]
        found[package] = Script(python, path, work / "models" / package, log)
    return found
