"""The log of a fit: a csv file with one line per epoch, to be read while it grows.

`elapsed_s` is the time spent in the fit up to the end of the epoch, without the pauses between a kill and
a resumption. The other columns are those of the fit's history, with their units in their names.
"""

from __future__ import annotations

import csv
import io
import time
from pathlib import Path

from ase_schnet.runtime.files import naming, write_whole

ELAPSED = "elapsed_s"


class TrainingLog:
    """Write the log of a fit.

    A kill may leave lines of epochs after the checkpoint, or half a line. So the file is first written anew
    from the history, and of the old one only the times are kept.

    Parameters
    ----------
    path
        The csv file.
    history
        Records of the epochs that are done.
    """

    def __init__(self, path: Path, history: list[dict]):
        self.path = path
        times = _times(path)
        lines = (_lines(row, times.get(row["epoch"])) for row in history)
        write_whole(path, "".join(lines).encode())
        spent = max((times.get(row["epoch"], 0.0) for row in history), default=0.0)
        self._began = time.monotonic() - spent

    def add(self, record: dict) -> None:
        """Append an epoch. Raises CannotWrite."""
        with naming(self.path), self.path.open("a") as file:
            file.write(_lines(record, round(time.monotonic() - self._began, 3)))


def read_log(path: Path) -> dict[str, list]:
    """Return the columns of a log, as in the "history" of a model card; None where a cell is empty.

    A last line that is not complete is left out: it is being written.
    """
    text = path.read_text()
    rows = list(csv.DictReader(io.StringIO(text[: text.rfind("\n") + 1])))
    names = rows[0] if rows else ()
    return {name: [_number(row[name]) for row in rows] for name in names}


def read_logs(directory: str | Path) -> list[dict]:
    """Return the fits that have a log in MODEL_DIR/training, for `plot_learning_curves`."""
    found = []
    for path in Path(directory).glob("fold_*.csv"):
        name, fold = path.stem.replace("_", " "), int(path.stem.split("_")[1])
        if history := read_log(path):
            found.append({"fold": fold, "label": name, "history": history})
    return sorted(found, key=lambda log: (log["fold"], log["label"]))


def _lines(record: dict, elapsed: float | None) -> str:
    """Return the line of an epoch; of the first one, with the names of the columns before it."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if record["epoch"] == 1:
        writer.writerow([*record, ELAPSED])
    writer.writerow([*record.values(), elapsed])
    return text.getvalue()


def _times(path: Path) -> dict[int, float]:
    """Return elapsed_s by epoch, as far as an old log says it."""
    if not path.exists():
        return {}
    try:
        columns = read_log(path)
    except (ValueError, csv.Error):  # half written when the power failed: only times are lost
        return {}
    pairs = zip(columns.get("epoch", ()), columns.get(ELAPSED, ()), strict=True)
    return {epoch: elapsed for epoch, elapsed in pairs if elapsed is not None}


def _number(cell: str) -> float | None:
    return float(cell) if cell else None
