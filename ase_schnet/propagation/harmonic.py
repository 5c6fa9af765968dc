"""Normal modes with error bars: each member goes on to its own minimum and has modes of its own."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from ase import Atoms
from ase.calculators.calculator import InputError
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from ase_schnet.calculator import SchNetCalculator
from ase_schnet.propagation.result import Spread
from ase_schnet.propagation.spread import spread
from ase_schnet.runtime.files import write_csv
from ase_schnet.spectra.harmonic import SOFT_CM, NormalModes, normal_modes, zero_point_energy
from ase_schnet.spectra.thermochemistry import thermal_corrections
from ase_schnet.uncertainty.bars import LEVEL

#: A member whose minimum has a distance between atoms that differs by more than this, Å, is at another one.
OTHER_MINIMUM = 0.5


@dataclass(frozen=True, eq=False)
class HarmonicSpread:
    """Hold M normal modes of a structure with what each member of an ensemble makes of them.

    Attributes
    ----------
    modes
        Those of the mean potential, with the half widths of their intervals.
    wavenumber
        Of the M modes, cm⁻¹.
    intensity
        Infrared intensities of the M modes, km/mol; None if the model has no dipole.
    zero_point_energy
        Half of Σ hν, eV.
    """

    modes: NormalModes
    wavenumber: Spread
    intensity: Spread | None
    zero_point_energy: Spread

    def thermal_corrections(self, **conditions: float) -> Spread:
        """Return enthalpy (eV), entropy (eV/K) and Gibbs energy (eV) with their spread.

        Parameters
        ----------
        **conditions
            As for :func:`~ase_schnet.spectra.thermal_corrections`.

        Raises
        ------
        ValueError
            What that raises; also if a mode is imaginary for one of the members.
        """
        atoms = self.modes.structure
        saddles = (self.wavenumber.members < -SOFT_CM).any(axis=1)
        if saddles.any():
            raise ValueError(
                f"member {saddles.argmax()} has an imaginary mode where it comes to rest, so no free energy"
            )
        return self.wavenumber.map(lambda own: thermal_corrections(own, atoms, **conditions))

    def write_csv(self, path: str | Path) -> None:
        """Write a table with a line for each mode; every number reads back to the same bits."""
        columns = {"wavenumber (cm⁻¹)": self.wavenumber, "intensity (km/mol)": self.intensity}
        table: dict[str, NDArray] = {}
        for name, values in columns.items():
            if values is not None:
                table[name] = np.asarray(values.value)
                table[f"± {name}"] = np.asarray(values.half_width)
                table[f"std of {name}"] = np.asarray(values.std)
        table["level of ±"] = np.full(len(self.modes.names), self.wavenumber.level)
        for k, values in enumerate(self.wavenumber.members):
            table[f"wavenumber of member {k} (cm⁻¹)"] = values
        write_csv(path, table | {"mode": np.array(self.modes.names, dtype=object)})


class FoundModes(NamedTuple):
    """Hold the normal modes of a structure by a model, with what its members make of them where they can.

    Attributes
    ----------
    modes
        Those of the mean potential, with error bars if there is a spread.
    spread
        Of the members; None where there is none.
    why_no_errors
        Why there is none.
    """

    modes: NormalModes
    spread: HarmonicSpread | None
    why_no_errors: str

    def write_csv(self, path: str | Path) -> None:
        """Write a table with a line for each mode; every number reads back to the same bits."""
        (self.spread or self.modes).write_csv(path)


def find_modes(atoms: Atoms) -> FoundModes:
    """Compute the normal modes of atoms with a `SchNetCalculator`, with error bars where members agree."""
    if atoms.calc.trained.n_members < 2:
        return FoundModes(normal_modes(atoms), None, "the model has one member")
    try:
        found = harmonic_spread(atoms, atoms.calc)
    except InputError as error:
        # of the mean potential there are modes all the same, or it raises that error itself
        return FoundModes(normal_modes(atoms), None, str(error))
    return FoundModes(found.modes, found, "")


def harmonic_spread(
    atoms: Atoms,
    model: str | Path | SchNetCalculator,
    *,
    level: float = LEVEL,
    factor: float | None = None,
    progress: bool | None = None,
) -> HarmonicSpread:
    """Return the normal modes of a structure by an ensemble, with the spread of its members.

    The mean potential relaxes the structure, and each member goes on from there to its own minimum. Its modes
    are paired with those of the mean potential by their displacements, since modes close to each other can
    change places.

    Parameters
    ----------
    atoms
        Structure near an energy minimum; its calculator is not used, and it does not change.
    model, level, factor, progress
        As for :func:`~ase_schnet.propagation.spread`.

    Raises
    ------
    ValueError, InputError
        What :func:`~ase_schnet.propagation.spread` and :func:`~ase_schnet.spectra.normal_modes` raise;
        also if a member comes to rest at another minimum, whose modes are others.
    """
    found: list[NormalModes] = []

    def table(calculator: SchNetCalculator) -> NDArray:
        copy = (found[0].structure if found else atoms).copy()
        copy.calc = calculator
        modes = normal_modes(copy)
        found.append(modes)
        _require_same_minimum(found)
        order = paired(found[0], modes, copy.get_masses())
        columns = [modes.wavenumber_cm, modes.intensity_km_per_mol]
        return np.array([column[order] for column in columns if column is not None])

    both = spread(table, model, level=level, factor=factor, progress=progress)
    wavenumber = both.map(lambda rows: rows[0])
    intensity = both.map(lambda rows: rows[1]) if len(both.value) > 1 else None
    modes = replace(
        found[0],
        wavenumber_error_cm=wavenumber.half_width,
        intensity_error_km_per_mol=None if intensity is None else intensity.half_width,
    )
    return HarmonicSpread(modes, wavenumber, intensity, wavenumber.map(zero_point_energy))


def _require_same_minimum(found: list[NormalModes]) -> None:
    """Raise InputError if the last of the minima is not the first."""
    first, last = (found[k].structure.get_all_distances() for k in (0, -1))
    largest = np.abs(last - first).max()
    unlike = len(found[0].names) != len(found[-1].names)  # one is linear, and the other bent
    if largest > OTHER_MINIMUM or unlike:
        raise InputError(
            f"member {len(found) - 2} comes to rest at another structure (a distance changes by "
            f"{largest:.2f} Å): the members do not agree on this minimum, and its modes have no error bars"
        )


def paired(first: NormalModes, second: NormalModes, masses: NDArray) -> NDArray:
    """Return the order (M,) of the second modes in which each is most like its fellow of the first.

    Most alike are those with the largest sum of squared overlaps Σ m d·d'.
    """
    overlap = np.einsum("knx,lnx,n->kl", first.displacements, second.displacements, masses)
    return linear_sum_assignment(overlap**2, maximize=True)[1]
