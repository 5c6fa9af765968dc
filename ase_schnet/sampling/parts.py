"""Finished chunks on disk: a sampling that was killed goes on from them."""

from __future__ import annotations

import contextlib
import zipfile
from pathlib import Path

import numpy as np

from ase_schnet.runtime.files import unreadable, whole_file
from ase_schnet.runtime.kept_settings import agree
from ase_schnet.runtime.locks import LockFile
from ase_schnet.sampling.chunks import Chunk, Frame

SETTINGS, LOCK = "sampling.json", "lock"


class Parts:
    """Hold the parts of one sampling in a directory; one process at a time.

    Parameters
    ----------
    directory
        Made if missing.
    settings
        All that the structures depend on, in plain types.
    take_over
        Count a process of another host that works here as dead.

    Raises
    ------
    InUseError
        If another process is at work here.
    ValueError
        If the directory has parts of a sampling with other settings, or is not one of parts.
    """

    def __init__(self, directory: str | Path, settings: dict, *, take_over: bool = False):
        self._directory = Path(directory)
        _require_parts(self._directory)
        self._directory.mkdir(exist_ok=True, parents=True)
        self._lock = LockFile(
            self._directory / LOCK, f"the sampling in {directory}", take_over=take_over
        )
        try:
            agree(self._directory / SETTINGS, settings, "parts of a sampling")
        except BaseException:
            self._lock.release()
            raise

    def __enter__(self) -> Parts:
        return self

    def __exit__(self, *_) -> None:
        self._lock.release()

    def read(self, name: str, number: int) -> Chunk | None:
        """Return a chunk that is there; None if it is not.

        Raises
        ------
        ValueError
            If its file is damaged.
        """
        path = self._path(name, number)
        if not path.exists():
            return None
        try:
            with path.open("rb") as opened, np.load(opened) as file:
                ends = np.cumsum(file["n_atoms"])[:-1]
                frames = zip(
                    file["start"].tolist(),
                    np.split(file["atoms"], ends),
                    np.split(file["positions"], ends),
                    file["cell"],
                    strict=True,
                )
                made = [Frame(*frame) for frame in frames] if len(file["start"]) else []
                return Chunk(made, str(file["reason"]))
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(
                f"{path} cannot be read ({unreadable(error)}): remove it, and it is made again"
            ) from None

    def write(self, name: str, number: int, chunk: Chunk) -> None:
        """Write a chunk, as a whole."""
        with whole_file(self._path(name, number)) as file:
            np.savez(
                file,
                start=np.array([f.start for f in chunk.frames], int),
                n_atoms=np.array([len(f.atoms) for f in chunk.frames], int),
                atoms=np.concatenate([f.atoms for f in chunk.frames] or [np.empty(0, int)]),
                positions=np.concatenate([f.positions for f in chunk.frames] or [np.empty((0, 3))]),
                cell=np.array([f.cell for f in chunk.frames]).reshape(-1, 3, 3),
                reason=np.array(chunk.reason),
            )

    def _path(self, name: str, number: int) -> Path:
        return self._directory / f"{name.replace(' ', '-')}.{number:05d}.npz"


def remove_parts(directory: str | Path) -> None:
    """Remove the directory of a sampling once its structures are written elsewhere.

    Raises
    ------
    ValueError
        If it is not a directory of parts.
    """
    directory = Path(directory)
    _require_parts(directory)
    with contextlib.suppress(FileNotFoundError):  # it was removed already
        # the settings last: without them a process that is killed here leaves what looks like files of others
        for path in sorted(directory.iterdir(), key=lambda path: path.name == SETTINGS):
            path.unlink(missing_ok=True)
        directory.rmdir()


def _require_parts(directory: Path) -> None:
    """Refuse what is no directory, or one with files of others."""
    if directory.exists() and not directory.is_dir():
        raise ValueError(f"{directory} is a file, not a directory of parts")
    if directory.is_dir():
        names = {path.name for path in directory.iterdir()} - {LOCK}
        if names and SETTINGS not in names:
            raise ValueError(
                f"{directory} is not a directory of parts: {min(names)} is in it, and no {SETTINGS}"
            )
