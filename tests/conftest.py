"""Fixtures that several test files share."""

import os
import sys
from collections.abc import Callable, Iterator
from itertools import chain, groupby, islice
from pathlib import Path

import pytest

from ase_schnet.runtime.cores import cores

# Before anything imports torch, and for the processes that tests start: two threads on small matrices
# are slower than one, and ten times slower where the machine has other work.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# A process of MPI that waits for another one lets it work, in place of asking as fast as it can.
os.environ.setdefault("MPIR_CVAR_ENABLE_HEAVY_YIELD", "1")
# Wherever Python is told to keep no bytecode, each of some hundred processes would compile the package anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

#: Begins: it compiles the network for itself alone. In a new checkout all others wait meanwhile for one of
#: them, which compiles it for all.
FIRST = "test_engine_registers.py"
BESIDE_THE_REPOSITORY = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Callable[..., Path]:
    """Return a function from path parts to a file of real quantum-chemistry data.

    The data is not part of the repository; it lies in ``../shared/data``, or where the environment
    variable ``ASE_SCHNET_SHARED_DATA`` says. A test that asks for a file that is not there skips.
    """
    root = Path(os.environ.get("ASE_SCHNET_SHARED_DATA", BESIDE_THE_REPOSITORY))

    def locate(*parts: str) -> Path:
        path = root.joinpath(*parts)
        if not path.exists():
            pytest.skip(f"needs shared data: {path}")
        return path

    return locate


@pytest.fixture(scope="session", autouse=True)
def known_tables() -> Iterator[None]:
    """Make the splines of the filters once for each network, not each time that a test opens its model."""
    from known_tables import remembering

    from ase_schnet.inference import arrays

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arrays, "filter_tables", remembering(arrays.filter_tables))
        yield


@pytest.fixture
def forked_workers(monkeypatch) -> None:
    """Fork the processes that do our work, for tests of what they do and not of how they begin."""
    from forked import ForkedWorkers

    monkeypatch.setattr("ase_schnet.runtime.processes._Spawning", ForkedWorkers)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark the tests that read real data, and let every process of xdist begin with slow ones."""
    for item in items:
        if "shared_data" in getattr(item, "fixturenames", ()):
            item.add_marker("data")
    processes = getattr(config, "workerinput", {}).get("workercount", 1)
    if processes > 1:
        items[:] = slow_first(items, processes)


def slow_first(items: list[pytest.Item], processes: int) -> list[pytest.Item]:
    """Return the tests in equal shares, one per process: whole files with slow tests, then quick ones.

    xdist gives each process an equal part of the list, and what is left at the end of one to those that are
    done: quick tests, so that all end together.
    """

    def weight(file: list[pytest.Item]) -> float:
        return sum(1.0 if item.get_closest_marker("slow") else 0.02 for item in file)

    def order(file: list[pytest.Item]) -> tuple[bool, float]:
        return file[0].path.name == FIRST, weight(file)

    files = [list(tests) for _, tests in groupby(items, lambda item: item.path)]
    shares: list[list[pytest.Item]] = [[] for _ in range(processes)]
    for file in sorted(files, key=order, reverse=True):
        if weight(file) >= 1.0:
            min(shares, key=weight).extend(file)
    quick, left = chain.from_iterable(f for f in files if weight(f) < 1.0), len(items)
    for k, share in enumerate(shares):
        share.extend(islice(quick, max(0, left // (processes - k) - len(share))))
        left -= len(share)
    return [*chain.from_iterable(shares), *quick]


@pytest.hookimpl(optionalhook=True)  # where xdist is not installed, there is no such hook
def pytest_xdist_auto_num_workers() -> int:
    """Return one worker more than cores: many a test waits for processes that it starts or kills."""
    return cores() + 1
