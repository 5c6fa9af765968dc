"""One thread for each calculation: electronic structure codes start one per core, and so do parallel jobs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from threadpoolctl import ThreadpoolController


@cache
def _controller(engine: str) -> ThreadpoolController:
    """Return what sets the threads of the libraries that are loaded once `engine` has been imported."""
    return ThreadpoolController()


@contextmanager
def one_thread(engine: str) -> Iterator[None]:
    """Let linear algebra and OpenMP use one thread within the block, in this thread of Python alone.

    Parameters
    ----------
    engine
        Name of the imported package that brings the libraries; they are listed once for each.
    """
    with _controller(engine).limit(limits=1):
        yield
