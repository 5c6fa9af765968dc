"""Labels and fits by a Dask scheduler; an extra: pip install 'ase-schnet[cluster]'."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

from ase_schnet.runtime.refusals import one_line

#: What it means that an executor cancels a job; what is kept is said behind it.
GAVE_UP = "the executor gave its jobs up (is the scheduler gone?)"
#: Seconds in which a scheduler must answer.
TIMEOUT_S = 10


@contextmanager
def scheduler(address: str) -> Iterator[Executor]:
    """Connect to a Dask scheduler, and give its executor.

    Parameters
    ----------
    address
        As ``dask scheduler`` prints it, ``"tcp://node17:8786"``, or the file that it wrote with
        ``--scheduler-file``.

    Raises
    ------
    ValueError
        In one line: Dask is not installed, or no scheduler answers.
    """
    try:
        distributed = import_module("distributed")
    except ImportError as error:
        raise ValueError(
            f"a Dask scheduler needs the package distributed ({error}): pip install 'ase-schnet[cluster]'"
        ) from None
    is_file = Path(address).is_file()
    place = {"scheduler_file": address} if is_file else {"address": address}
    try:
        client = distributed.Client(**place, timeout=TIMEOUT_S, set_as_default=False)
    except (OSError, ValueError, KeyError) as error:
        reason = one_line(error)[:200] or type(error).__name__
        raise ValueError(f"no Dask scheduler answers at {address}: {reason}") from None
    log = logging.getLogger("distributed.client")
    level = log.level
    # that a scheduler is lost is told in one line, without tracebacks
    log.setLevel(logging.CRITICAL)
    try:
        with client:
            yield client.get_executor(retries=0)
    finally:
        log.setLevel(level)


def is_killed_worker(error: Exception) -> bool:
    """Return whether an error is Dask's, of a job during which several of its workers died in turn."""
    return type(error).__name__ == "KilledWorker"  # of a package that need not be installed
