"""Where a run goes on from: a file that is always whole, whatever kills the process."""

import contextlib
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
from ase import Atoms
from numpy.typing import NDArray


class Restart(NamedTuple):
    """The state after a complete step: all that NVE needs to go on."""

    step: int
    positions: NDArray  # (N, 3) Å
    momenta: NDArray  # (N, 3) ASE units

    @classmethod
    def of(cls, atoms: Atoms, step: int) -> "Restart":
        return cls(step, atoms.get_positions(), atoms.get_momenta())

    def apply(self, atoms: Atoms) -> None:
        """Put ``atoms`` into this state."""
        atoms.set_positions(self.positions, apply_constraint=False)
        atoms.set_momenta(self.momenta, apply_constraint=False)

    def write(self, path: Path) -> None:
        with atomic_file(path) as file:
            np.savez(file, **self._asdict())

    @classmethod
    def read(cls, path: Path) -> "Restart":
        """Read what :meth:`write` wrote; ValueError if the file is damaged."""
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as saved:
                return cls(int(saved["step"]), saved["positions"], saved["momenta"])
        except (ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(f"{path} is damaged: {error}") from None


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[IO[bytes]]:
    """Open ``path`` for writing such that it is replaced whole or not at all."""
    temporary = path.with_name(path.name + ".tmp")
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def flush_to_disk(path: Path) -> None:
    """Make sure that what was written to ``path`` outlives a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
