"""Threads that work for the caller, of whom an interrupt at any instant leaves nothing behind.

`concurrent.futures` will not do: whoever gives it work, or waits for it, takes locks in Python code, and an
interrupt there leaves them taken. A thread that needs such a lock then waits for ever, and with it all that
wait for that thread. Queues of C have no such instant.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread, current_thread

Job = Callable[[], None]


class Threads:
    """Some threads beside the caller's. They end with this object, and idle ones cost nothing.

    Parameters
    ----------
    number
        How many.
    """

    def __init__(self, number: int):
        self.number = number
        self._given: SimpleQueue[Job | None] = SimpleQueue()
        threads = [
            Thread(target=_serve, args=(self._given,), name=f"ase_schnet_{k}", daemon=True)
            for k in range(number)
        ]
        for thread in threads:
            thread.start()
        weakref.finalize(self, _dismiss, self._given, threads)

    def give(self, job: Job) -> None:
        """Let the next thread that is free call a function, which must not raise."""
        self._given.put(job)

    def run(self, work: Callable[[int], None]) -> None:
        """Call work(0) in this thread and work(1), work(2), ... in the others, and wait for all.

        Raises
        ------
        BaseException
            What a call has raised.
        """
        ended: SimpleQueue[BaseException | None] = SimpleQueue()

        def beside(number: int) -> None:
            try:
                work(number)
            except BaseException as error:
                ended.put(error)
            else:
                ended.put(None)

        for number in range(1, self.number + 1):
            self.give(lambda number=number: beside(number))
        work(0)
        for error in [ended.get() for _ in range(self.number)]:
            if error is not None:
                raise error


def _serve(given: SimpleQueue[Job | None]) -> None:
    while (job := given.get()) is not None:
        job()
        del job  # and what it holds, while this thread waits for the next one


def _dismiss(given: SimpleQueue[Job | None], threads: list[Thread]) -> None:
    """End the threads; at the end of Python the ones that still work are waited for."""
    for _ in threads:
        given.put(None)
    for thread in threads:
        if thread is not current_thread():
            thread.join()
