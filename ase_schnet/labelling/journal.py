"""Labels and failures on disk as they come: one line of JSON for each, appended.

A kill loses the labels that are being computed. A line that it cut is removed when the file is next opened.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import numpy as np

from ase_schnet.labelling.jobs import Outcome
from ase_schnet.labelling.methods import Reference
from ase_schnet.runtime.files import naming
from ase_schnet.runtime.locks import LockFile

FORMAT = "ase_schnet labels"
VERSION = 1
#: Seconds between two times that the file is forced onto the disk, for failures of power.
SYNC_S = 2.0


def journal_path(output: Path) -> Path:
    """Return the name of the journal of an output."""
    return output.with_name(f"{output.name}.journal")


class Journal:
    """Hold the outcomes of a labelling, in memory and in a file that one process at a time may write.

    Parameters
    ----------
    output
        File that the labels are for; the journal lies beside it.
    reference
        Method that the labels are of.
    take_over
        Count a process of another host that holds the journal as dead.

    Raises
    ------
    InUseError
        Another process is labelling into this output.
    ValueError
        In one line: the journal is of another reference method or damaged, or `output` exists without a
        journal.
    CannotWrite
        The folder cannot be written to.
    """

    def __init__(self, output: Path, reference: Reference, *, take_over: bool = False):
        self.path = journal_path(output)
        self.outcomes: dict[str, Outcome] = {}
        self._synced = time.monotonic()
        what = f"{output} (the file that labels are written to)"
        self._lock = LockFile(output.with_name(f".{output.name}.lock"), what, take_over=take_over)
        try:
            if output.exists() and not self.path.exists():
                raise ValueError(
                    f"{output} exists already, without the journal {self.path.name}: choose another name"
                )
            with naming(self.path):
                self.path.touch()
                end = self._read(reference)
                self._file = self.path.open("r+b")
                self._file.truncate(end)
                self._file.seek(end)
                if end == 0:
                    self._write(_header(reference))
        except BaseException:
            self._lock.release()
            raise

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def add(self, outcome: Outcome) -> None:
        """Write an outcome; after the return no end of this process loses it. Raises CannotWrite."""
        record = {"key": outcome.key}
        if outcome.failure is not None:
            record["failure"] = outcome.failure
        else:
            record["energy"] = outcome.energy
            record["forces"] = outcome.forces.tolist()
            if outcome.stress is not None:
                record["stress"] = outcome.stress.tolist()
        with naming(self.path):
            self._write(record)
        self.outcomes[outcome.key] = outcome

    def close(self) -> None:
        """Close the file, and let other processes in."""
        try:
            with naming(self.path):
                self._sync()
                self._file.close()
        finally:
            self._lock.release()

    def _write(self, record: dict) -> None:
        self._file.write(json.dumps(record, separators=(",", ":")).encode() + b"\n")
        self._file.flush()
        if time.monotonic() - self._synced > SYNC_S:
            self._sync()

    def _sync(self) -> None:
        os.fsync(self._file.fileno())
        self._synced = time.monotonic()

    def _read(self, reference: Reference) -> int:
        """Read what is there, and return where the last whole line ends."""
        end = 0
        with self.path.open("rb") as file:
            for number, line in enumerate(file):
                if not line.endswith(b"\n"):
                    break
                try:
                    record = json.loads(line)
                    if number == 0:
                        self._require_same(record, reference)
                    else:
                        outcome = _outcome(record)
                        self.outcomes[outcome.key] = outcome
                except (KeyError, TypeError, json.JSONDecodeError, UnicodeDecodeError):
                    rest = file.read(1)
                    if number and not rest:  # the last line, with what a failure of power left
                        break
                    raise ValueError(
                        f"{self.path}: line {number + 1} is damaged: delete this line"
                        if number
                        else f"{self.path} is no journal of labels: choose another name for the output"
                    ) from None
                end += len(line)
        return end

    def _require_same(self, header: dict, reference: Reference) -> None:
        if header["format"] != FORMAT:
            raise KeyError("format")
        if header["version"] > VERSION:
            raise ValueError(f"{self.path} is of a newer version: upgrade ase_schnet")
        if header["identity"] == reference.identity:
            return
        same_name = header["level_of_theory"] == reference.level_of_theory
        other = (
            f"{header['reference']} ({header['identity']})" if same_name else header["reference"]
        )
        raise ValueError(
            f"{self.path} holds labels of {other}, not of {reference.text}"
            f"{f' ({reference.identity})' if same_name else ''}: give the same reference, or choose another "
            "name for the output"
        )


def _header(reference: Reference) -> dict:
    return {
        "format": FORMAT,
        "version": VERSION,
        "reference": reference.text,
        "level_of_theory": reference.level_of_theory,
        "identity": reference.identity,
    }


def _outcome(record: dict) -> Outcome:
    if "failure" in record:
        return Outcome(record["key"], failure=str(record["failure"]))
    stress = record.get("stress")
    return Outcome(
        record["key"],
        float(record["energy"]),
        np.array(record["forces"], dtype=float).reshape(-1, 3),
        None if stress is None else np.array(stress, dtype=float),
    )
