"""The turn of one process among several that would compile the same: a message, a progress bar, a lock."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path
from types import ModuleType

from filelock import FileLock, Timeout
from numba.core import event
from numba.core.dispatcher import Dispatcher
from tqdm import tqdm

LOCK = "ase_schnet.lock"
PATIENCE_S = 120.0  # compiling takes a tenth of it; whoever holds the lock for longer hangs
MESSAGE = (
    "ase_schnet: compiling the network for this processor, once after installation (about 20 s)"
)


_said = False  # in this process: a training compiles in several turns


class Turn(event.Listener):
    """Lead one process through a first use. numba tells it which function begins to compile or is ready."""

    def __init__(self, modules: tuple[ModuleType, ...]):
        functions = (f for module in modules for f in vars(module).values())
        self._functions = {
            f
            for f in functions
            if isinstance(f, Dispatcher) and f.targetoptions.get("inline") != "always"
        }
        self._lock: FileLock | None = None
        self._ours = False
        self._bar: tqdm | None = None
        event.register("numba:compile", self)

    def wait(self, folder: Path) -> bool:
        """Take the lock of `folder`, or wait until the process that has it is done.

        Return True if there may be something new in the folder, False if it is our turn to compile. A lock
        that cannot be taken, because the file system knows none or its owner hangs, stops nobody: two
        processes that compile the same do no harm, since each replaces whole files.
        """
        if self._ours:
            return False
        try:
            if self._lock is None:
                folder.mkdir(parents=True, exist_ok=True)
                self._lock = FileLock(folder / LOCK)
            with suppress(Timeout):
                self._lock.acquire(timeout=0)
                self._ours = True
                return True
            self._lock.acquire(timeout=PATIENCE_S)
            self._lock.release()  # at once: those who waited need not load one after the other
        except (OSError, NotImplementedError, Timeout):
            self._ours = True
        return not self._ours

    def end(self) -> None:
        """Let the next process have its turn."""
        event.unregister("numba:compile", self)
        if self._bar is not None:
            self._bar.close()
        if self._lock is not None:
            self._lock.release()

    def on_start(self, event: event.Event) -> None:
        """Say before the first function that compiling takes a while."""
        global _said
        if self._bar is None:
            if not _said:
                print(MESSAGE, file=sys.stderr, flush=True)
            _said = True
            self._bar = tqdm(
                total=len(self._functions),
                desc="compiling",
                unit="function",
                disable=None,
                leave=False,
            )

    def on_end(self, event: event.Event) -> None:
        """Count a function of ours that is ready."""
        if event.data["dispatcher"] in self._functions:
            self._bar.update()
