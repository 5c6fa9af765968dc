"""Read ASE databases: plain ones, ISO17's, and both layouts of schnetpack.

All keep labels in columns or in each row's data. schnetpack 2 says their units in the metadata; schnetpack
0.2 wrote every array as base64 text beside its dtype and shape, and no units at all.
"""

import base64
import math
from collections.abc import Mapping, Set
from pathlib import Path
from typing import Any

import ase.db
import numpy as np
from ase import Atoms
from ase.calculators.calculator import all_properties
from ase.db.row import AtomsRow

from ase_schnet.data._file import FileContents
from ase_schnet.data._labels import COMMON_NAMES, LabelSearch
from ase_schnet.data.frame import Frame, fixed_components
from ase_schnet.structures.electrons import CHARGES, MULTIPLICITIES, SPIN, stated
from ase_schnet.units import PACKAGE_UNITS, FileUnits

_DTYPE, _SHAPE = "_dtype_", "_shape_"
_ELECTRONS = frozenset((*CHARGES, *MULTIPLICITIES, SPIN))


def read_db(path: Path, energy_key: str | None, forces_key: str | None) -> FileContents:
    """Read an ASE database row by row. Results that ASE itself stored are in eV, Å and e·Å.

    Parameters
    ----------
    path
        Existing file.
    energy_key, forces_key
        Names under which the rows keep their labels, such as QM9's ``energy_U0``.

    Raises
    ------
    ValueError
        If the file is no readable database, no label is found, or its units of energies and
        forces contradict each other.
    """
    frames: list[Frame] = []
    search = LabelSearch(energy_key, forces_key)
    try:
        database = ase.db.connect(str(path), type="db", use_lock_file=False)
        metadata = dict(database.metadata)
        for row in database.select():
            results = {name: row[name] for name in all_properties if name in row}
            # The first row is decoded as a whole, to tell the user what is there and not used.
            data = _decoded(row.data, search.wanted | _ELECTRONS if frames else row.data.keys())
            search.add(results, {**row.key_value_pairs, **data})
            frames.append(_frame(row, data))
    except Exception as error:  # sqlite, JSON and ASE errors alike mean a damaged file
        reason = str(error) or type(error).__name__
        raise ValueError(f"row {len(frames) + 1} cannot be read by ASE ({reason})") from error
    labels, recognised = search.labels()
    units = metadata.get("_property_unit_dict")
    stated = _schnetpack_units(units, metadata, energy_key, forces_key) if units else None
    return FileContents(
        frames, labels, stated, PACKAGE_UNITS if recognised else None, notes=search.notes()
    )


def _frame(row: AtomsRow, data: Mapping[str, Any]) -> Frame:
    """Return the structure alone; `AtomsRow.toatoms` takes five times as long."""
    cell = np.array(row.cell, dtype=float)
    pbc = np.array(row.pbc, dtype=bool)
    numbers = np.array(row.numbers)  # copies: the row's own are views of one block of bytes
    known = vars(row)  # ``row.charge`` is not the key of that name, but the sum of initial charges
    says = {key: of[key] for of in (data, known) for key in _ELECTRONS & of.keys()}
    constraints = row.constraints
    return Frame(
        numbers,
        np.array(row.positions, dtype=float),
        cell if cell.any() else None,
        pbc if pbc.any() else None,
        fixed=fixed_components(Atoms(numbers, constraint=constraints)) if constraints else None,
        electrons=stated(says, known),
    )


def _decoded(data: Mapping[str, Any], wanted: Set[str]) -> dict[str, Any]:
    """Return the data of a row; wanted base64 texts of schnetpack 0.2 become arrays."""
    plain = {}
    for key, value in data.items():
        if key.startswith((_DTYPE, _SHAPE)):
            continue
        if key in wanted and _DTYPE + key in data:
            content = base64.b64decode(value, validate=True)
            array = np.frombuffer(content, np.dtype(data[_DTYPE + key]))
            value = array.reshape(data[_SHAPE + key])
        plain[key] = value
    return plain


def _schnetpack_units(
    units: dict[str, str], metadata: dict, energy_key: str | None, forces_key: str | None
) -> str | None:
    """Return text such as "Ha, Ang, D" from the metadata of a schnetpack 2 database."""
    length = metadata.get("_distance_unit", "Ang")
    energy = _first(units, (energy_key,) if energy_key else COMMON_NAMES["energy"])
    forces = _first(units, (forces_key,) if forces_key else COMMON_NAMES["forces"])
    dipole = _first(units, COMMON_NAMES["dipole"])
    if forces:
        per_length = FileUnits(*forces.rsplit("/", 1))  # "kcal/mol/Ang"
        energy = energy or per_length.energy
        expected = FileUnits(energy, length).forces_to_eV_per_Ang
        if not math.isclose(per_length.forces_to_eV_per_Ang, expected, rel_tol=1e-6):
            raise ValueError(
                f"has forces in {forces} but energies in {energy}, lengths in {length}"
            )
    return ", ".join(unit for unit in (energy, length, dipole) if unit) if energy else None


def _first(units: dict[str, str], names: tuple[str, ...]) -> str | None:
    return next((units[name] for name in names if name in units), None)
