"""The reference curve of a scan: energies from structures in a file, or from another calculator."""

import math
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from tqdm import tqdm

from ase_schnet.runtime.progress import is_hidden
from ase_schnet.scan.coordinate import Coordinate
from ase_schnet.scan.driver import energy_and_spread
from ase_schnet.structures.reading import no_such_file, read_frames
from ase_schnet.units import parse_units

#: Dihedrals count as a full turn if the widest gap between them is at most this many times the next one.
CLOSED_TURN_RATIO = 2.0
#: Decimals of the coordinate; structures that are equal to these are one point.
DIGITS = {"Å": 6, "°": 3}
#: Largest energy difference between structures that are one point, eV.
SAME_POINT_EV = 1e-3


def read_reference(
    path: str | Path, coordinate: Coordinate, atoms: Atoms, values: NDArray
) -> NDArray:
    """Interpolate the energies (eV) of structures in a file at the values of a scan.

    The value of each structure is measured. Dihedrals that go all the way round are interpolated by a
    periodic spline; others are a range on the circle, which may begin anywhere.

    Parameters
    ----------
    path
        File of structures with energies, in the units that ``info["units"]`` states, else eV and Å.
    coordinate
        What is scanned.
    atoms
        Structure of the scan; the file must have the same atoms.
    values
        Values (P,) of the scan, Å or °.

    Returns
    -------
    array
        Energies (P,), eV, by a cubic spline; NaN outside the range of the file.

    Raises
    ------
    ValueError
        For files without structures or energies, with other atoms, or with two energies at one value.
    """
    where, energies = _read(path, coordinate, atoms)  # (S,), rising
    if coordinate.kind != "dihedral":
        return CubicSpline(where, energies, extrapolate=False)(values)
    gaps = np.diff(where, append=where[0] + 360)  # (S,) after each point
    widest = int(np.argmax(gaps))
    where, energies = np.roll(where, -widest - 1), np.roll(energies, -widest - 1)
    where = where[0] + (where - where[0]) % 360  # rising, from behind the widest gap
    if len(gaps) > 2 and gaps[widest] <= CLOSED_TURN_RATIO * np.sort(gaps)[-2]:
        where, energies = np.append(where, where[0] + 360), np.append(energies, energies[0])
        spline = CubicSpline(where, energies, bc_type="periodic")
    else:
        spline = CubicSpline(where, energies, extrapolate=False)
    return spline(where[0] + (values - where[0]) % 360)


def energies_along(
    frames: Sequence[Atoms], calculator: BaseCalculator, progress: bool | None
) -> NDArray:
    """Compute the energies (P,), eV, of frames with another calculator; NaN if unfinished after Ctrl-C."""
    energies = np.full(len(frames), math.nan)
    bar = tqdm(frames, desc="reference", unit="point", disable=is_hidden(progress))
    try:
        for k, frame in enumerate(bar):
            energies[k] = energy_and_spread(frame, calculator, f"point {k} of the reference")[
                "energy"
            ]
    except KeyboardInterrupt:
        warnings.warn(f"interrupted after {k} of {len(frames)} reference points", stacklevel=4)
    return energies


def _to_package_units(structure: Atoms) -> float:
    """Bring lengths to Å, from the units that a structure states; return the factor of its energy to eV."""
    stated = structure.info.get("units")
    if stated is None:
        return 1.0
    units = parse_units(str(stated))
    structure.set_cell(structure.cell.array * units.length_to_Ang)
    structure.positions *= units.length_to_Ang
    return units.energy_to_eV


def _read(path: str | Path, coordinate: Coordinate, atoms: Atoms) -> tuple[NDArray, NDArray]:
    """Read the value of the coordinate and the energy (eV) of every structure, (S,) each, values rising."""
    if not Path(path).is_file():
        raise FileNotFoundError(no_such_file(Path(path)))
    try:
        structures = list(read_frames(path))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    energies: dict[float, float] = {}  # by value
    for k, structure in enumerate(structures):
        if not np.array_equal(structure.numbers, atoms.numbers):
            raise ValueError(f"structure {k} of {path} does not have the atoms of the scan")
        if structure.calc is None or "energy" not in structure.calc.results:
            raise ValueError(f"structure {k} of {path} has no energy")
        try:
            energy = structure.get_potential_energy() * _to_package_units(structure)
        except ValueError as error:
            raise ValueError(f"structure {k} of {path}: {error}") from None
        value = round(coordinate.measure(structure), DIGITS[coordinate.unit])
        if coordinate.kind == "dihedral":
            value %= 360  # a full turn ends where it began
        if abs(energies.get(value, energy) - energy) > SAME_POINT_EV:
            raise ValueError(f"{path} has two energies at {coordinate.name} = {value:g}")
        energies[value] = energy
    if len(energies) < 2:
        raise ValueError(f"{path} has fewer than two different structures, too few to interpolate")
    where = np.array(sorted(energies))
    return where, np.array([energies[value] for value in where])
