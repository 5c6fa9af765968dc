"""How many cores there are to work with."""

import os


def cores() -> int:
    """Return the number of cores that this process may use; under a batch system these are not all."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
