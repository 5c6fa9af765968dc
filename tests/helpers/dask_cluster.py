"""A Dask cluster of two workers in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

#: Workers are forked from one process that has imported what they need, in place of importing it each.
SCRIPT = """
import sys
import dask
dask.config.set({"distributed.worker.multiprocessing-method": "forkserver"})
from distributed import LocalCluster
from distributed.utils import get_mp_context
if __name__ == "__main__":
    get_mp_context().set_forkserver_preload(["distributed", *sys.argv[1:]])
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        pids = [worker.pid for worker in cluster.workers.values()]
        print(cluster.scheduler_address, *pids, flush=True)
        input()
"""


@contextmanager
def two_workers(folder: Path, *imported: str) -> Iterator[tuple[str, list[int]]]:
    """Give the address of the scheduler and the processes of its workers, which have imported modules."""
    script = folder / "cluster.py"
    script.write_text(SCRIPT)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    dask = subprocess.Popen(
        [sys.executable, str(script), *imported], cwd=folder, text=True, **pipes
    )
    try:
        address, *pids = dask.stdout.readline().split()
        yield address, [int(pid) for pid in pids]
    finally:
        dask.communicate("\n", timeout=30)
