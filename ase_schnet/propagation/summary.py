"""Describe the normal modes of a structure by a model: energy, frequencies, free energy, with errors."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from ase import units
from numpy.typing import NDArray

from ase_schnet.calculator import SchNetCalculator
from ase_schnet.propagation.harmonic import FoundModes
from ase_schnet.propagation.result import rounded
from ase_schnet.spectra.harmonic import NormalModes
from ase_schnet.spectra.thermochemistry import is_gas, thermal_corrections

#: An eV in kJ/mol.
KJ_PER_MOL = 1 / (units.kJ / units.mol)


def describe_modes(
    found: FoundModes, calculator: SchNetCalculator, conditions: Mapping[str, float]
) -> str:
    """Describe normal modes, and the free energy that they make.

    Parameters
    ----------
    found
        The modes, with what members make of them.
    calculator
        That they are of.
    conditions
        Arguments of :func:`~ase_schnet.spectra.thermal_corrections`, all of them.
    """
    lines = [_energy(found.modes, calculator), *_table(found.modes), zero_point(found)]
    return "\n".join(lines + _thermochemistry(found, conditions))


def wavenumbers(found: FoundModes) -> str:
    """Return the wavenumbers of all modes in a line."""
    modes, spread = found.modes, found.spread
    if spread is None:
        return f"{', '.join(f'{value:.0f}' for value in modes.wavenumber_cm)} cm⁻¹"
    pairs = zip(modes.wavenumber_cm, modes.wavenumber_error_cm, strict=True)
    bands = ", ".join(rounded(float(value), float(error)) for value, error in pairs)
    return f"{bands} cm⁻¹ ({100 * spread.wavenumber.level:g} %)"


def zero_point(found: FoundModes) -> str:
    """Describe the zero-point energy, and what is to be said of all modes."""
    modes = found.modes
    if found.spread is None:
        energy = f"{modes.zero_point_energy_eV:.4f} eV (no errors: {found.why_no_errors})"
    else:
        zero = found.spread.zero_point_energy
        energy = f"{rounded(zero.value, zero.half_width)} eV ({100 * zero.level:g} %)"
    text = f"zero-point energy  {energy}"
    if modes.n_imaginary:
        text += (
            f"\nimaginary          {modes.n_imaginary} (below 0): what was relaxed is a saddle point, as "
            "from a symmetric start; displace its atoms and ask again"
        )
    return text


def _energy(modes: NormalModes, calculator: SchNetCalculator) -> str:
    """Describe the energy at rest."""
    at_rest = modes.structure.copy()
    at_rest.calc = calculator
    energy = at_rest.get_potential_energy()
    error = calculator.results.get("energy_error")
    if error is None:
        return f"energy at rest     {energy:.4f} eV"
    if not error < float("inf"):
        return (
            f"energy at rest     {energy:.4f} eV, without an error bar: it is unlike all training"
        )
    level = calculator.limits["error_level"]
    return f"energy at rest     {rounded(energy, error)} eV ({100 * level:g} %)"


def _table(modes: NormalModes) -> list[str]:
    """Return a line for each mode."""
    numbers = ["mode", *map(str, range(len(modes.names)))]
    wavenumbers = _column("cm⁻¹", modes, modes.wavenumber_cm, modes.wavenumber_error_cm)
    heights = _column("km/mol", modes, modes.intensity_km_per_mol, modes.intensity_error_km_per_mol)
    rows = zip(numbers, wavenumbers, heights, ("", *modes.names), strict=True)
    return [f"{n:>4}{w}{h}  {name}".rstrip() for n, w, h, name in rows]


def _column(
    title: str, modes: NormalModes, values: NDArray | None, errors: NDArray | None
) -> list[str]:
    """Return a column of the table, its title first; empty where there are no values."""
    if values is None:
        return [""] * (1 + len(modes.names))
    if errors is None:
        texts = [f"{value:.0f}" for value in values]
    else:
        texts = [rounded(float(v), float(e)) for v, e in zip(values, errors, strict=True)]
    width = max(map(len, [title, *texts]))
    return [f"  {text:>{width}}" for text in (title, *texts)]


def _thermochemistry(found: FoundModes, conditions: Mapping[str, float]) -> list[str]:
    """Return the lines of enthalpy, entropy and free energy, or why there are none."""
    modes, structure, remark = found.modes, found.modes.structure, ""
    try:
        values = thermal_corrections(modes.wavenumber_cm, structure, **conditions)
    except ValueError as error:
        return [f"free energy        none: {error}"]
    errors = np.full(3, np.nan)
    if found.spread is not None:
        try:
            errors = found.spread.thermal_corrections(**conditions).half_width
        except ValueError as error:
            remark = f" (no errors: {error})"
    gas = is_gas(structure)
    names = ("enthalpy H − E", "entropy S", "Gibbs energy G − E")
    if not gas:
        names = ("energy U − E", "entropy S", "Helmholtz F − E")
    scales = ((1.0, "eV", KJ_PER_MOL, "kJ/mol"), (1e3, "meV/K", 1e3 * KJ_PER_MOL, "J/(mol K)"))
    lines = [f"{_in_words(conditions, gas)}{remark}:"]
    for name, value, error, k in zip(names, values, errors, (0, 1, 0), strict=True):
        first, unit, second, other = scales[k]
        both = [
            f"{value * f:.4f}" if np.isnan(error) else rounded(value * f, error * f)
            for f in (first, second)
        ]
        lines.append(f"  {name:18} {both[0]} {unit} = {both[1]} {other}")
    return lines


def _in_words(conditions: Mapping[str, float], gas: bool) -> str:
    text = f"at {conditions['temperature_K']:g} K"
    if gas:
        text += f" and {conditions['pressure_bar']:g} bar, symmetry number {conditions['symmetry_number']}"
        spin = conditions["multiplicity"]
        text += f", multiplicity {spin}" if spin > 1 else ""
    else:
        text += ", vibrations alone"
    low = conditions["raise_below_cm"]
    return text + (f", wavenumbers below {low:g} cm⁻¹ raised to it" if low else "")
