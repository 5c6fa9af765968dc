"""Fixtures that several test files share."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from ase_schnet.cores import cores

# Before anything imports torch, and for the processes that tests start: two threads on small matrices
# are slower than one, and ten times slower where the machine has other work.
os.environ.setdefault("OMP_NUM_THREADS", "1")

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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that read real data."""
    for item in items:
        if "shared_data" in getattr(item, "fixturenames", ()):
            item.add_marker("data")


@pytest.hookimpl(optionalhook=True)  # where xdist is not installed, there is no such hook
def pytest_xdist_auto_num_workers() -> int:
    """Return one worker more than cores: many a test waits for processes that it starts or kills."""
    return cores() + 1
