"""The log of a replica exchange: who was at which temperature, and which neighbours have exchanged."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from ase_schnet.runtime.files import flush_to_disk, replaced

EXCHANGE_LOG = "exchange.csv"


class ExchangeLog:
    """Append one line for each attempt."""

    def __init__(self, path: Path, file: TextIO):
        self._path, self._file = path, file

    @classmethod
    @contextmanager
    def open(cls, path: Path, temperatures_K: NDArray, rows: int) -> Iterator["ExchangeLog"]:
        """Open the log of runs at these temperatures, of which ``rows`` lines are kept."""
        names = ["time_fs", *(f"walker_at_{one:g}_K" for one in temperatures_K)]
        names += [f"exchanged_{k}_{k + 1}" for k in range(len(temperatures_K) - 1)]
        kept = path.read_text().splitlines(keepends=True)[1 : rows + 1] if rows else []
        if len(kept) < rows:
            raise ValueError(f"{path} is shorter than the restart point says")
        with replaced(path) as there:
            there.write_text("".join([",".join(names) + "\n", *kept]), encoding="utf-8")
        with path.open("a", encoding="utf-8") as file:
            yield cls(path, file)

    def write(self, time_fs: float, walkers: NDArray, exchanged: NDArray) -> None:
        """Append an attempt: walkers (R,) by temperature; exchanged (R - 1,), 1, 0, or -1: not tried."""
        self._file.write(
            ",".join(map(repr, [time_fs, *walkers.tolist(), *exchanged.tolist()])) + "\n"
        )

    def flush(self) -> None:
        """Bring it to the disk."""
        self._file.flush()
        flush_to_disk(self._path)


@dataclass(frozen=True, eq=False)
class ExchangeRecord:
    """Hold the attempts of a replica exchange, E of them between R temperatures.

    Attributes
    ----------
    temperatures_K
        (R,), as names of the log's columns give them, K.
    time_fs
        (E,), fs.
    walkers
        (E, R), the replica of the start that is at each temperature after the attempt.
    exchanged
        (E, R - 1), 1 where two neighbours have exchanged, 0 where they have not, -1 where it was not tried.
    """

    temperatures_K: NDArray
    time_fs: NDArray
    walkers: NDArray
    exchanged: NDArray

    @property
    def acceptance(self) -> NDArray:
        """The fraction of attempts that exchanged two neighbours, (R - 1,); NaN without an attempt."""
        tried = (self.exchanged >= 0).sum(axis=0)
        with np.errstate(invalid="ignore"):
            return (self.exchanged == 1).sum(axis=0) / tried

    @property
    def round_trips(self) -> NDArray:
        """How often each walker has come from the lowest temperature to the highest and back, (R,)."""
        trips = np.zeros(len(self.temperatures_K), dtype=int)
        for walker in range(len(trips)):
            was_on_top = False
            places = np.argmax(self.walkers == walker, axis=1)
            came_from_below = False
            for place in places:
                if place == 0:
                    trips[walker] += was_on_top and came_from_below
                    came_from_below, was_on_top = True, False
                elif place == len(trips) - 1:
                    was_on_top = True
        return trips

    @classmethod
    def read(cls, run_dir: str | Path) -> "ExchangeRecord":
        """Read the log in the directory of a replica exchange; ValueError if there is none."""
        path = Path(run_dir) / EXCHANGE_LOG
        try:
            names, *lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        except (OSError, ValueError):
            raise ValueError(
                f"{run_dir} holds no replica exchange: it has no {EXCHANGE_LOG}"
            ) from None
        temperatures = [n.split("_")[2] for n in names.split(",") if n.startswith("walker_at_")]
        rows = np.array([line.split(",") for line in lines if line.endswith("\n")], dtype=float)
        number = len(temperatures)
        rows = rows.reshape(-1, 2 * number)
        walkers, exchanged = rows[:, 1 : number + 1], rows[:, number + 1 :]
        known = np.array(temperatures, dtype=float), rows[:, 0]
        return cls(*known, walkers.astype(int), exchanged.astype(int))


def ladder(lowest_K: float, highest_K: float, number: int) -> list[float]:
    """Return ``number`` temperatures in geometric progression, K: for equal acceptance in a simple liquid."""
    if not (0 < lowest_K < highest_K and number >= 2):
        raise ValueError(
            f"a ladder needs two or more temperatures between a lower one above 0 and a higher one, got "
            f"{number} between {lowest_K:g} and {highest_K:g} K"
        )
    return np.geomspace(lowest_K, highest_K, number).tolist()
