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
    from ase_schnet.propagation.harmonic import find_modes
    from ase_schnet.propagation.summary import describe_modes
    from ase_schnet.structures.box import without_needless_box
    from ase_schnet.structures.electrons import multiplicity_of

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
    conditions["multiplicity"] = multiplicity_of(calculator.trained.card, atoms)
    found = find_modes(atoms)
    lines = [describe_modes(found, calculator, conditions)]
    found.write_csv(table)
    lines += [f"table: {table}", *_structures(found.modes, args)]
    if not args.no_plot:
        from ase_schnet.plotting import plot_modes

        lines += draw(plot_modes(found.modes), args.output, args)
    print("\n".join(lines))
    return 1 if found.modes.n_imaginary else 0


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
