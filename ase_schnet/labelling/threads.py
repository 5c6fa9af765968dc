"""One thread for each calculation: electronic structure codes start one per core, and so do parallel jobs."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import threadpoolctl
from threadpoolctl import ThreadpoolController


class _Limits:
    """Limit threads while any calculation runs; the last one to end gives back what there was before.

    OpenMP has a number of threads for each thread of Python, linear algebra one for the whole process.
    """

    def __init__(self):
        libraries = ThreadpoolController()
        # apart: what a limit ends with is given to all of its libraries
        self._openmp = libraries.select(user_api="openmp")
        self._blas = libraries.select(user_api="blas")
        self._lock = threading.Lock()
        self._running = 0
        self._algebra = None

    @contextmanager
    def one(self) -> Iterator[None]:
        """Limit to one thread within the block."""
        with self._lock:
            if self._running == 0:
                self._algebra = self._blas.limit(limits=1)
            self._running += 1
        try:
            with self._openmp.limit(limits=1):
                yield
        finally:
            with self._lock:
                self._running -= 1
                if self._running == 0:
                    self._algebra.restore_original_limits()
                _let_others_set()


def _let_others_set() -> None:
    """Give up the right to set the threads of OpenBLAS, which newer threadpoolctl give to one."""
    openblas = getattr(threadpoolctl, "OpenBLASController", None)
    if hasattr(openblas, "clear_controlling_thread"):
        openblas.clear_controlling_thread()


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
