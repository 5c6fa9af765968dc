"""Compute vibrational spectra of runs: ``ase-schnet spectrum RUN_DIR [RUN_DIR ...] -o PLOT``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ase_schnet.cli.outputs import check_outputs, table_beside
from ase_schnet.cli.pictures import add_save_data, draw

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ase_schnet.propagation.harmonic import FoundModes
    from ase_schnet.spectra import Spectrum, TrajectorySignals

HELP = "Compute the infrared or Raman spectrum, or the vibrational density of states, of MD runs."
EXAMPLE = """\
example:
  ase-schnet md methanol methanol.xyz --time 5 --trajectory-every 4 --seed 1 -o run1
  ase-schnet md methanol methanol.xyz --time 5 --trajectory-every 4 --seed 2 -o run2
  ase-schnet spectrum run1 run2 --harmonic methanol methanol.xyz -o ir.png

Several runs with different seeds are averaged, and the error is estimated from the differences between them;
one run gives no error. In a few ps a molecule does not distribute its energy equally over its vibrations, and
the intensity of a band is proportional to the energy of its vibration: the command prints how unequal these
energies are. Save frames often: every 4 fs with hydrogen, or every 2 fs so that overtones of its vibrations
are not folded to lower wavenumbers (aliasing). An nve run that starts from a relaxed structure ends at about
half of its start temperature; --ensemble nvt keeps it. A csv file is written beside the picture, with the
same name. Harmonic wavenumbers have the error that the members of the model give them, at 90 %, and a table
of their own (PLOT-harmonic.csv).
"""
KINDS = ("ir", "vdos", "raman")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.epilog = EXAMPLE
    add = parser.add_argument
    add("runs", metavar="RUN_DIR", nargs="+", help="run directories of ase-schnet md or lammps")
    text = "ir: infrared; vdos: vibrational density of states; raman (default: %(default)s)"
    add("--kind", choices=KINDS, default="ir", help=text)
    text = "full width at half maximum of a sharp line, cm⁻¹ (default: %(default)s)"
    add("--resolution", type=float, default=20.0, metavar="CM", help=text)
    text = "highest wavenumber that the frames must resolve, cm⁻¹ (default: 4000 with hydrogen, less without)"
    add("--highest", type=float, metavar="CM", help=text)
    text = "time in ps to leave out at the start of each run (default: %(default)s)"
    add("--skip", type=float, default=0.0, metavar="PS", help=text)
    text = (
        "quantum correction of infrared intensities; exact for harmonic modes (default: harmonic)"
    )
    add("--quantum-correction", choices=["harmonic", "none"], help=text)
    text = "relax STRUCTURE with MODEL, and draw its harmonic frequencies and intensities too"
    add("--harmonic", nargs=2, metavar=("MODEL", "STRUCTURE"), help=text)
    text = "table with measured wavenumbers, cm⁻¹, in the first column; '# source: NAME' names its source"
    add("--measured", metavar="FILE.csv", help=text)
    add(
        "-o",
        "--output",
        default="spectrum.png",
        metavar="PLOT",
        help="picture to draw (default: %(default)s)",
    )
    add("--no-plot", action="store_true", help="write only the csv file")
    add_save_data(add)


def run(args: argparse.Namespace) -> int:
    """Read, transform, write and draw; return the exit code."""
    from ase_schnet.spectra import TrajectorySignals
    from ase_schnet.spectra.measured_bands import MeasuredBands

    output = Path(args.output)
    check_outputs(
        files=[table_beside(output), _harmonic_table(output) if args.harmonic else None],
        plots=[None if args.no_plot else output],
        inputs=[args.measured, *(args.harmonic or ())[1:]],
        numbers=args.save_data,
    )
    if args.quantum_correction and args.kind != "ir":
        raise ValueError("--quantum-correction applies to --kind ir only")
    measured = MeasuredBands.read(args.measured) if args.measured else None
    signals = [TrajectorySignals.read(run_dir, skip_ps=args.skip) for run_dir in args.runs]
    spectra = _spectra(signals, args)
    found = _modes(signals[0], *args.harmonic) if args.harmonic else None
    lines = []
    for spectrum in spectra:
        name = spectrum.kind.removeprefix("raman-") if len(spectra) > 1 else ""
        table = output.with_name("-".join(filter(None, (output.stem, name))) + ".csv")
        spectrum.write_csv(table)
        lines += [_summary(spectrum), f"table: {table}"]
    lines.append(f"vibrations         {_equipartition(spectra[0])}")
    if found is not None:
        from ase_schnet.propagation.summary import wavenumbers, zero_point

        lines += [f"harmonic           {wavenumbers(found)}", zero_point(found)]
        if found.spread is not None:
            found.write_csv(_harmonic_table(output))
            lines.append(f"table: {_harmonic_table(output)}")
    if not args.no_plot:
        from ase_schnet.plotting import plot_spectrum

        figure = plot_spectrum(*spectra, modes=found and found.modes, measured=measured)
        lines += draw(figure, output, args)
    print("\n".join(lines))
    return 0


def _spectra(signals: list[TrajectorySignals], args: argparse.Namespace) -> list[Spectrum]:
    """Compute the spectra of the kind asked for."""
    from ase_schnet.spectra import (
        ir_spectrum,
        raman_spectra,
        vibrational_density_of_states,
    )

    options = {"resolution_cm": args.resolution, "highest_cm": args.highest}
    if args.kind == "ir":
        correction = args.quantum_correction or "harmonic"
        return [ir_spectrum(signals, quantum_correction=correction, **options)]
    if args.kind == "raman":
        return list(raman_spectra(signals, **options))
    return [vibrational_density_of_states(signals, **options)]


def _harmonic_table(output: Path) -> Path:
    """Return the file of the harmonic modes that goes with a picture."""
    return output.with_name(f"{output.stem}-harmonic.csv")


def _modes(signals: TrajectorySignals, model: str, structure: str) -> FoundModes:
    """Compute the normal modes of a structure; ValueError if its atoms are not those of the run."""
    import numpy as np

    from ase_schnet.calculator import SchNetCalculator
    from ase_schnet.cli.inputs import read_start, refuse_swapped
    from ase_schnet.propagation.harmonic import find_modes

    refuse_swapped(model, structure)
    atoms = read_start(structure)
    theirs, ours = sorted(signals.masses), sorted(atoms.get_masses())
    if len(theirs) != len(ours) or not np.allclose(theirs, ours, atol=0.1):
        raise ValueError(
            f"--harmonic {structure} is {atoms.get_chemical_formula()}, and its masses are not those of the "
            "atoms in the runs: give the structure of the runs"
        )
    atoms.calc = SchNetCalculator(model)
    return find_modes(atoms)


def _summary(spectrum: Spectrum) -> str:
    """Describe the integral and the maxima."""
    area, error = spectrum.integral()
    unit = "modes" if spectrum.kind == "vdos" else spectrum.unit.removesuffix(" cm")
    error = "" if error is None else f" ± {error:.2g}"
    alone = (
        ""
        if spectrum.n_runs > 1
        else " (no error from one run: give several, with different seeds)"
    )
    return (
        f"{spectrum.kind}, {spectrum.n_runs} run{'s' * (spectrum.n_runs > 1)}, "
        f"{spectrum.temperature_K:.0f} K\n"
        f"integral           {area:.4g}{error} {unit}{alone}\n"
        f"maxima             {_list(spectrum.bands_cm())} cm⁻¹"
    )


def _equipartition(spectrum: Spectrum) -> str:
    """Describe whether the energy of the runs is equally distributed over the vibrations."""
    energies = spectrum.mode_energies
    if energies is None:
        return "not tested for equal energies: a crystal, a linear molecule, or too few frames"
    seen = f"energies {energies[0]:.2g} to {energies[-1]:.2g} times kT"
    if spectrum.has_shared_energy:
        return f"{seen}: equally distributed"
    return (
        f"{seen}: not equally distributed, so the intensities of single bands may be wrong by a factor of "
        f"{spectrum.energy_factor_text}; give more and longer runs"
    )


def _list(wavenumber: NDArray) -> str:
    return ", ".join(f"{value:.0f}" for value in wavenumber)
