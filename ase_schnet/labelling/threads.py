"""One thread for each calculation: electronic structure codes start one per core, and so do parallel jobs."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from threadpoolctl import ThreadpoolController


class _Limits:
    """Limit threads while any calculation runs; the last one to end gives back what there was before.

    OpenMP has a number of threads for each thread of Python, linear algebra one for the whole process.
    """

    def __init__(self):
        self._libraries = ThreadpoolController()
        self._lock = threading.Lock()
        self._running = 0
        self._algebra = None

    @contextmanager
    def one(self) -> Iterator[None]:
        """Limit to one thread within the block."""
        with self._lock:
            if self._running == 0:
                self._algebra = self._libraries.limit(limits=1, user_api="blas")
            self._running += 1
        try:
            with self._libraries.limit(limits=1, user_api="openmp"):
                yield
        finally:
            with self._lock:
                self._running -= 1
                if self._running == 0:
                    self._algebra.restore_original_limits()


@cache
def _limits(engine: str) -> _Limits:
    return _Limits()


@contextmanager
def one_thread(engine: str) -> Iterator[None]:
    """Let linear algebra and OpenMP use one thread within the block.

    Parameters
    ----------
    engine
        Name of the imported package that brings the libraries; they are listed once for each.
    """
    with _limits(engine).one():
        yield
