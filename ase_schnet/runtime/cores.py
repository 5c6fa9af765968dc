"""How many cores there are to work with, and how many threads may be used."""

import os
from numbers import Integral


def cores() -> int:
    """Return the number of cores that this process may use; under a batch system these are not all."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def allowed_threads(limit: int | None) -> int:
    """Return the number of threads that a user allows; None: OMP_NUM_THREADS where it is set, else all cores.

    Raises
    ------
    ValueError
        `limit` is no whole number of at least 1.
    """
    if limit is None:
        wished = os.environ.get("OMP_NUM_THREADS", "")
        return min(cores(), int(wished)) if wished.isdigit() and int(wished) > 0 else cores()
    if not isinstance(limit, Integral) or limit < 1:
        raise ValueError(f"threads is a number >= 1 or None, got {limit!r}")
    return int(limit)
