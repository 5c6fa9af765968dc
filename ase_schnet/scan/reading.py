"""Read a scan back from its table, and its structures from theirs."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from ase_schnet.scan.scan_1d import ScanResult
from ase_schnet.scan.scan_2d import RANGES, ScanMap
from ase_schnet.structures.reading import no_such_file, read_frames

ENERGY, MEMBERS = "energy_eV", "energy_member_"
#: Reason that a table gives for points outside the training data: it has no words, only yes or no.
OUTSIDE = "outside the training data"


def read_scan(table: str | Path, frames: str | Path | None = None) -> ScanResult | ScanMap:
    """Read a scan, or a map of two coordinates, from the csv file that it wrote.

    Parameters
    ----------
    table
        The csv file.
    frames
        Structures of its points, as ``write_frames`` wrote them. None: the points have structures without
        atoms.

    Raises
    ------
    ValueError
        If it is no table of a scan, or the structures are not those of its points.
    """
    names, columns = _columns(Path(table))
    coordinates = names[: names.index(ENERGY)]
    structures = [Atoms() for _ in columns[ENERGY]]
    if frames is not None:
        structures = _structures(Path(frames), coordinates, columns)
    read = _scan if len(coordinates) == 1 else _map
    return read(coordinates, columns, structures)


def is_scan_table(path: Path) -> bool:
    """Return whether a file begins as the table of a scan does."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            names = next(csv.reader(file), [])
    except (OSError, UnicodeDecodeError, csv.Error):
        return False
    return ENERGY in names[1:3]


def structures_beside(table: Path) -> Path | None:
    """Return the file of structures that has the name of a table, if there is one."""
    found = (table.with_suffix(suffix) for suffix in (".xyz", ".extxyz"))
    return next((path for path in found if path.is_file()), None)


def _columns(path: Path) -> tuple[list[str], dict[str, NDArray]]:
    if not is_scan_table(path):
        raise ValueError(
            f"{path} is no table of a scan: give the .csv file that ase-schnet scan wrote beside its picture"
        )
    with path.open(newline="", encoding="utf-8") as file:
        names, *rows = csv.reader(file)
    try:
        values = np.array([[float(cell) for cell in row] for row in rows])
        if values.ndim != 2 or values.shape[1] != len(names):
            raise ValueError("lines without points, or of other lengths than the first")
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}") from None
    return names, dict(zip(names, values.T, strict=True))


def _structures(
    path: Path, coordinates: Sequence[str], columns: Mapping[str, NDArray]
) -> list[Atoms]:
    if not path.is_file():
        raise FileNotFoundError(no_such_file(path))
    try:
        frames = list(read_frames(path))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    for name in coordinates:
        values = [float(atoms.info.get(name, np.nan)) for atoms in frames]
        if len(values) != len(columns[name]) or not np.allclose(values, columns[name], atol=1e-6):
            raise ValueError(
                f"{path} does not hold the structures of this scan: it needs those that ase-schnet scan "
                "--frames wrote with this table"
            )
    return frames


def _scan(
    coordinates: Sequence[str], columns: Mapping[str, NDArray], frames: list[Atoms]
) -> ScanResult:
    outside = columns.get("outside_training")
    members, level = _members(columns), columns.get("error_level")
    return ScanResult(
        coordinate_name=coordinates[0],
        values=columns[coordinates[0]],
        energies_eV=columns[ENERGY],
        energy_std_eV=columns.get("energy_std_eV"),
        energy_committee_eV=members,
        reference_energies_eV=columns.get("reference_energy_eV"),
        frames=frames,
        converged=_yes_or_no(columns, "converged"),
        outside_training=None if outside is None else [OUTSIDE * bool(one) for one in outside],
        energy_error_eV=columns.get("energy_error_eV"),
        error_level=None if level is None else float(level[0]),
        trained_range=_range(columns, "trained"),
        known_range=_range(columns, "known"),
    )


def _range(columns: Mapping[str, NDArray], name: str) -> tuple[float, float] | None:
    low, high = (columns.get(f"{name}_{end}_Ang") for end in ("from", "to"))
    return None if low is None or high is None else (float(low[0]), float(high[0]))


def _map(
    coordinates: Sequence[str], columns: Mapping[str, NDArray], frames: list[Atoms]
) -> ScanMap:
    axes = tuple(np.unique(columns[name]) for name in coordinates)
    sites = tuple(
        np.searchsorted(axis, columns[name]) for axis, name in zip(axes, coordinates, strict=True)
    )
    shape = tuple(len(axis) for axis in axes)

    def grid(values: NDArray | None, blank: float | bool = np.nan) -> NDArray | None:
        if values is None:
            return None
        made = np.full(shape + values.shape[1:], blank, dtype=type(blank))
        made[sites] = values
        return made

    level = columns.get("error_level")
    where = zip(*(site.tolist() for site in sites), strict=True)
    energies = grid(columns[ENERGY])
    assert energies is not None  # a table has it
    return ScanMap(
        coordinate_names=(coordinates[0], coordinates[1]),
        values=(axes[0], axes[1]),
        energies_eV=energies,
        energy_std_eV=grid(columns.get("energy_std_eV")),
        energy_committee_eV=grid(_members(columns)),
        frames=dict(zip(where, frames, strict=True)),
        converged=grid(_yes_or_no(columns, "converged"), False),
        outside_training=grid(_yes_or_no(columns, "outside_training"), False),
        energy_error_eV=grid(columns.get("energy_error_eV")),
        error_level=None if level is None else float(level[0]),
        trained_ranges=(_range(columns, RANGES[0]), _range(columns, RANGES[1])),
    )


def _members(columns: Mapping[str, NDArray]) -> NDArray | None:
    """Return the energies of the members, (P, M), eV."""
    found = [values for name, values in columns.items() if name.startswith(MEMBERS)]
    return np.column_stack(found) if found else None


def _yes_or_no(columns: Mapping[str, NDArray], name: str) -> NDArray | None:
    values = columns.get(name)
    return None if values is None else values.astype(bool)
