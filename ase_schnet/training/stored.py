"""The labelled structures of a training, in a file from which every process reads its own part."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from ase_schnet.data.dataset import PARTIAL, PER_ATOM, Dataset, concatenated_ranges
from ase_schnet.data.packing import none_if_empty
from ase_schnet.runtime.files import whole_file


class StoredDataset:
    """Read a data set from its npz file, as a whole or in parts.

    Parameters
    ----------
    path
        The file, which `write` makes.
    """

    def __init__(self, path: Path):
        self.path = path

    def write(self, dataset: Dataset) -> None:
        """Write all arrays, uncompressed, as a whole or not at all. Raises CannotWrite."""
        columns = {f.name: getattr(dataset, f.name) for f in fields(dataset)}
        known = {name: value for name, value in columns.items() if value is not None}
        with whole_file(self.path) as file:
            np.savez(file, **known)

    def read(self) -> Dataset:
        """Return all structures. Raises ValueError for a file that is missing or damaged."""
        with self._arrays() as file:
            return Dataset(**{k: v if v.ndim else str(v) for k, v in file.items()})

    def subset(self, structures: NDArray) -> Dataset:
        """Return the same as ``read().subset(structures)``.

        One array after the other is read and cut down, so that memory never holds all of them.

        Raises
        ------
        ValueError
            If the file is missing or damaged.
        """
        with self._arrays() as file:
            ptr = file["ptr"]
            n_atoms = np.diff(ptr)[structures]
            atoms = concatenated_ranges(ptr[structures], n_atoms)
            part = {"ptr": np.concatenate([[0], n_atoms.cumsum()])}
            for name in file.keys() - part.keys():
                array = file[name]
                if not array.ndim:
                    part[name] = str(array)
                    continue
                rows = array[atoms if name in PER_ATOM else structures]
                part[name] = none_if_empty(rows) if name in PARTIAL else rows
            return Dataset(**part)

    @contextmanager
    def _arrays(self) -> Iterator[Mapping[str, NDArray]]:
        try:
            with self.path.open("rb") as raw, np.load(raw) as file:
                yield file
        except (FileNotFoundError, ValueError, EOFError, TypeError, KeyError, BadZipFile) as error:
            raise damaged(self.path, error) from None


def damaged(path: Path, error: Exception) -> ValueError:
    """Return the error for a file of a training that cannot be read, with the cure."""
    return ValueError(
        f"{path} is damaged or missing ({error}); remove {path.parent} and train anew"
    )
