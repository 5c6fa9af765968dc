"""Normal modes and free energies of a structure at rest: ``ase-schnet modes MODEL STRUCTURE -o PLOT``."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ase_schnet.cli.inputs import add_no_pbc, read_start, refuse_swapped
from ase_schnet.cli.options import (
    add_device,
    add_model,
    add_repulsion,
    add_structure,
    refuse_given,
    repulsion_of,
)
from ase_schnet.cli.outputs import check_outputs, table_beside
from ase_schnet.cli.pictures import add_save_data, draw

if TYPE_CHECKING:
    from ase import Atoms

    from ase_schnet.propagation import HarmonicSpread
    from ase_schnet.spectra import NormalModes

HELP = "Relax a structure and compute its harmonic frequencies and free energy, with error bars."
EXAMPLE = """\
examples (`ase build CH3OH methanol.xyz` writes the molecule):
  ase-schnet modes methanol methanol.xyz
  ase-schnet modes methanol methanol.xyz --temperature 400 --pressure 10 --animate motions -o modes.png

The model relaxes the structure, and each of its members goes on from there to its own minimum and has modes
of its own; the error bars are what these say of the model, at 90 %. Infrared intensities are there if the
model has a dipole (ase-schnet train-dipole). Enthalpy, entropy and Gibbs energy are those of an ideal gas of
rigid rotors and harmonic oscillators. Of a crystal they are the Helmholtz energy and so on of its vibrations,
of the cell as it is: give a supercell. Frequencies have the masses of the file, so that isotopes can be asked
for; the multiplicity is that of the model. Atoms may be held in place (a column move_mask). A csv file is
written beside the picture, with the same name.

exit code: 0 success, 1 a mode is imaginary: the structure at rest is a saddle point, 2 bad input
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.epilog = EXAMPLE
    add = parser.add_argument
    add_model(add)
    add_structure(add)
    text = "temperature of the free energy, K (default: %(default)s)"
    add("--temperature", type=float, default=298.15, metavar="K", help=text)
    text = "pressure of a gas, bar (default: %(default)s)"
    add("--pressure", type=float, default=1.0, metavar="BAR", help=text)
    text = (
        "rotations that leave the molecule as it is: 2 for water, 12 for benzene "
        "(default: %(default)s)"
    )
    add("--symmetry-number", type=int, default=1, metavar="N", help=text)
    text = (
        "in the free energy, count wavenumbers below this as this, because soft torsions are no harmonic "
        "oscillators: 100 is usual (default: %(default)s)"
    )
    add("--raise-below", type=float, default=0.0, metavar="CM", help=text)
    add_no_pbc(add)
    add_repulsion(add)
    add_device(add)
    text = "picture to draw; the table gets its name with .csv (default: %(default)s)"
    add("-o", "--output", default="modes.png", metavar="PLOT", help=text)
    add("--relaxed", metavar="FILE.xyz", help="file to write the relaxed structure to")
    text = (
        "folder to write the motion of each mode to, as a file of frames (look at it with `ase gui`); those "
        "of an earlier call are removed"
    )
    add("--animate", metavar="FOLDER", help=text)
    add("--no-plot", action="store_true", help="write only the csv file")
    add_save_data(add)


def run(args: argparse.Namespace) -> int:
    """Relax, compute, write and draw, and only then print; return the exit code."""
    from ase_schnet.calculator import SchNetCalculator
    from ase_schnet.structures.box import without_needless_box

    refuse_swapped(args.model, args.structure)
    table = table_beside(args.output)
    check_outputs(
        files=[table, args.relaxed],
        plots=[None if args.no_plot else args.output],
        folders=[args.animate],
        inputs=[args.structure],
        numbers=args.save_data,
    )
    conditions = _conditions(args)
    atoms = read_start(args.structure, no_pbc=args.no_pbc)
    calculator = SchNetCalculator(args.model, device=args.device, repulsion=repulsion_of(args))
    atoms.calc = calculator
    atoms = without_needless_box(atoms)
    _refuse_options_of_a_gas(args, atoms)
    conditions["multiplicity"] = _multiplicity(atoms)
    modes, harmonic, why = modes_of(atoms)
    lines = [_energy(modes, atoms), *_table(modes), zero_point(modes, harmonic, why)]
    lines += _thermochemistry(modes, harmonic, conditions)
    (harmonic or modes).write_csv(table)
    lines.append(f"table: {table}")
    lines += _structures(modes, args)
    if not args.no_plot:
        from ase_schnet.plotting import plot_modes

        lines += draw(plot_modes(modes), args.output, args)
    print("\n".join(lines))
    return 1 if modes.n_imaginary else 0


def _conditions(args: argparse.Namespace) -> dict:
    """Return the arguments of `thermal_corrections`, checked before the work."""
    from ase_schnet.arguments import positive, whole

    if not 0 <= args.raise_below < float("inf"):
        raise ValueError(f"--raise-below must be 0 or more, not {args.raise_below}")
    return {
        "temperature_K": positive("temperature", args.temperature),
        "pressure_bar": positive("pressure", args.pressure),
        "symmetry_number": whole("symmetry_number", args.symmetry_number, 1),
        "raise_below_cm": args.raise_below,
    }


def _refuse_options_of_a_gas(args: argparse.Namespace, atoms: Atoms) -> None:
    """Raise ValueError for options that say nothing of a crystal, nor of a molecule that is held."""
    from ase_schnet.spectra.thermochemistry import is_gas

    if not is_gas(atoms):
        why = f"is for a gas, and {args.structure} is periodic or held in place: leave it out"
        names = ("pressure", "symmetry_number")
        refuse_given(args, names, f"{why} (a molecule in a box: --no-pbc)")


def _multiplicity(atoms: Atoms) -> int:
    """Return 2S + 1 of the state that the model has; where it knows several, of that of the atoms."""
    from ase_schnet.structures.electrons import lowest_multiplicity, stated

    card, said = atoms.calc.trained.card, stated(atoms.info, atoms.arrays)
    known = [card.get("multiplicity"), said.multiplicity]
    charges = [card.get("charge"), said.charge, 0]
    charge = next(q for q in charges if isinstance(q, (int, float)))
    whole = [int(m) for m in known if isinstance(m, (int, float)) and m == int(m)]
    return (whole or [lowest_multiplicity(atoms.numbers, charge)])[0]


def modes_of(atoms: Atoms) -> tuple[NormalModes, HarmonicSpread | None, str]:
    """Compute the normal modes of atoms with a `SchNetCalculator`, and the spread of its members.

    Where there is no spread, it is None and the text says why.
    """
    from ase.calculators.calculator import InputError

    from ase_schnet.propagation import harmonic_spread
    from ase_schnet.spectra import normal_modes

    if atoms.calc.trained.n_members < 2:
        return normal_modes(atoms), None, "the model has one member"
    try:
        found = harmonic_spread(atoms, atoms.calc)
    except InputError as error:
        # of the mean potential there are modes all the same, or it raises that error itself
        return normal_modes(atoms), None, str(error)
    return found.modes, found, ""


def zero_point(modes: NormalModes, harmonic: HarmonicSpread | None, why: str) -> str:
    """Describe the zero-point energy, and what is to be said of all modes."""
    from ase_schnet.propagation.result import rounded

    if harmonic is None:
        text = f"zero-point energy  {modes.zero_point_energy_eV:.4f} eV (no errors: {why})"
    else:
        zero = harmonic.zero_point_energy
        text = (
            f"zero-point energy  {rounded(zero.value, zero.half_width)} eV ({100 * zero.level:g} %)"
        )
    if modes.n_imaginary:
        text += (
            f"\nimaginary          {modes.n_imaginary} (below 0): what was relaxed is a saddle point, as "
            "from a symmetric start; displace its atoms and ask again"
        )
    return text


def _energy(modes: NormalModes, atoms: Atoms) -> str:
    """Describe the energy at rest."""
    from ase_schnet.propagation.result import rounded

    at_rest = modes.structure.copy()
    at_rest.calc = atoms.calc
    energy = at_rest.get_potential_energy()
    error = at_rest.calc.results.get("energy_error")
    if error is None:
        return f"energy at rest     {energy:.4f} eV"
    if not error < float("inf"):
        return (
            f"energy at rest     {energy:.4f} eV, without an error bar: it is unlike all training"
        )
    level = atoms.calc.limits["error_level"]
    return f"energy at rest     {rounded(energy, error)} eV ({100 * level:g} %)"


def _table(modes: NormalModes) -> list[str]:
    """Return a line for each mode."""
    from ase_schnet.propagation.result import rounded

    def column(title: str, values, errors) -> list[str]:
        if values is None:
            return [""] * (1 + len(modes.names))
        if errors is None:
            texts = [f"{value:.0f}" for value in values]
        else:
            texts = [rounded(float(v), float(e)) for v, e in zip(values, errors, strict=True)]
        width = max(map(len, [title, *texts]))
        return [f"  {text:>{width}}" for text in (title, *texts)]

    numbers = ["mode", *map(str, range(len(modes.names)))]
    wavenumbers = column("cm⁻¹", modes.wavenumber_cm, modes.wavenumber_error_cm)
    heights = column("km/mol", modes.intensity_km_per_mol, modes.intensity_error_km_per_mol)
    rows = zip(numbers, wavenumbers, heights, ("", *modes.names), strict=True)
    return [f"{n:>4}{w}{h}  {name}".rstrip() for n, w, h, name in rows]


def _thermochemistry(
    modes: NormalModes, harmonic: HarmonicSpread | None, conditions: dict
) -> list[str]:
    """Return the lines of enthalpy, entropy and free energy, or why there are none."""
    import numpy as np
    from ase import units

    from ase_schnet.propagation.result import rounded
    from ase_schnet.spectra import thermal_corrections
    from ase_schnet.spectra.thermochemistry import is_gas

    structure, remark = modes.structure, ""
    try:
        values = thermal_corrections(modes.wavenumber_cm, structure, **conditions)
    except ValueError as error:
        return [f"free energy        none: {error}"]
    errors = np.full(3, np.nan)
    if harmonic is not None:
        try:
            errors = harmonic.thermal_corrections(**conditions).half_width
        except ValueError as error:
            remark = f" (no errors: {error})"
    gas = is_gas(structure)
    names = ("enthalpy H − E", "entropy S", "Gibbs energy G − E")
    if not gas:
        names = ("energy U − E", "entropy S", "Helmholtz F − E")
    kJ = units.kJ / units.mol
    scales = ((1.0, "eV", 1 / kJ, "kJ/mol"), (1e3, "meV/K", 1e3 / kJ, "J/(mol K)"))
    lines = [f"{_conditions_in_words(conditions, gas)}{remark}:"]
    for name, value, error, k in zip(names, values, errors, (0, 1, 0), strict=True):
        first, unit, second, other = scales[k]
        both = [
            f"{value * f:.4f}" if np.isnan(error) else rounded(value * f, error * f)
            for f in (first, second)
        ]
        lines.append(f"  {name:18} {both[0]} {unit} = {both[1]} {other}")
    return lines


def _conditions_in_words(conditions: dict, gas: bool) -> str:
    text = f"at {conditions['temperature_K']:g} K"
    if gas:
        text += f" and {conditions['pressure_bar']:g} bar, symmetry number {conditions['symmetry_number']}"
        spin = conditions["multiplicity"]
        text += f", multiplicity {spin}" if spin > 1 else ""
    else:
        text += ", vibrations alone"
    low = conditions["raise_below_cm"]
    return text + (f", wavenumbers below {low:g} cm⁻¹ raised to it" if low else "")


def _structures(modes: NormalModes, args: argparse.Namespace) -> list[str]:
    """Write the structure at rest and the motion of the modes; return a line for each."""
    from ase.io import write

    from ase_schnet.runtime.files import replaced

    lines = []
    if args.relaxed:
        with replaced(args.relaxed) as there:
            write(there, modes.structure, format="extxyz")
        lines.append(f"structure: {args.relaxed}")
    if args.animate:
        modes.write_animations(args.animate)
        lines.append(f"motions: {args.animate}, a file for each mode")
    return lines
