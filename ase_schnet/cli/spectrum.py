"""ase-schnet spectrum RUN_DIR [RUN_DIR ...] -o PLOT"""

from __future__ import annotations

import argparse
from pathlib import Path

from ase_schnet.cli.outputs import check_outputs

HELP = "Infrared or Raman spectrum, or vibrational density of states, from runs of dynamics."
EXAMPLE = """\
example:
  ase-schnet md methanol methanol.xyz --time 5 --trajectory-every 4 --seed 1 -o run1    (and 2, 3, ...)
  ase-schnet spectrum run1 run2 run3 --harmonic methanol methanol.xyz -o ir.png

Runs, of other seeds, are averaged, and the error is that between them. One run has none: in a few ps a
molecule does not share its energy among its vibrations, and with that of a vibration goes the intensity of
its band; how far they are from equal is printed. Frames must be saved often: every 4 fs with hydrogen, every
2 fs to keep its overtones from being folded back. An nve run that starts from a relaxed structure ends at
about half of its temperature; --ensemble nvt keeps it. A csv file with the plot's name is written beside it.
"""
KINDS = ("ir", "vdos", "raman")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.epilog = EXAMPLE
    add = parser.add_argument
    add("runs", metavar="RUN_DIR", nargs="+", help="as ase-schnet md writes it")
    text = "infrared, density of states, or Raman (default: ir)"
    add("--kind", choices=KINDS, default="ir", help=text)
    text = "width of a sharp line, cm⁻¹ (default: 20)"
    add("--resolution", type=float, default=20.0, metavar="CM", help=text)
    text = "highest wavenumber that frames must resolve, cm⁻¹ (default: 4000 with hydrogen)"
    add("--highest", type=float, metavar="CM", help=text)
    add("--skip", type=float, default=0.0, metavar="PS", help="leave out the start of each run")
    text = "of the infrared: harmonic is exact for harmonic modes (default: harmonic)"
    add("--quantum-correction", choices=["harmonic", "none"], help=text)
    text = "relax, and draw the harmonic frequencies and intensities"
    add("--harmonic", nargs=2, metavar=("MODEL", "STRUCTURE"), help=text)
    text = "measured wavenumbers in the first column; a line '# source: ...' says whose"
    add("--measured", metavar="FILE.csv", help=text)
    add("-o", "--output", default="spectrum.png", metavar="PLOT", help="(default: spectrum.png)")
    add("--no-plot", action="store_true", help="write the csv file only")


def run(args: argparse.Namespace) -> int:
    """Read, transform, write, draw."""
    from ase_schnet.spectra import Motion
    from ase_schnet.spectra.measured_bands import MeasuredBands

    output = Path(args.output)
    check_outputs(
        files=[output.with_suffix(".csv")],
        plots=[None if args.no_plot else output],
        inputs=[args.measured, *(args.harmonic or ())[1:]],
    )
    if args.quantum_correction and args.kind != "ir":
        raise ValueError("--quantum-correction is for --kind ir")
    measured = MeasuredBands.read(args.measured) if args.measured else None
    motions = [Motion.read(run_dir, skip_ps=args.skip) for run_dir in args.runs]
    spectra = _spectra(motions, args)
    modes = _modes(motions[0], *args.harmonic) if args.harmonic else None
    lines = []
    for spectrum in spectra:
        name = spectrum.kind.removeprefix("raman-") if len(spectra) > 1 else ""
        table = output.with_name("-".join(filter(None, (output.stem, name))) + ".csv")
        spectrum.write_csv(table)
        lines += [_summary(spectrum), f"table: {table}"]
    lines.append(f"vibrations         {_sharing(spectra[0])}")
    if modes is not None:
        lines.append(f"harmonic           {_list(modes.wavenumber_cm)} cm⁻¹")
    if not args.no_plot:
        from ase_schnet.plotting import plot_spectrum, save_figure

        figure = plot_spectrum(*spectra, modes=modes, measured=measured)
        lines.append(f"plot: {save_figure(figure, output)}")
    print("\n".join(lines))
    return 0


def _spectra(motions: list, args: argparse.Namespace) -> list:
    from ase_schnet.spectra import (
        ir_spectrum,
        raman_spectra,
        vibrational_density_of_states,
    )

    options = {"resolution_cm": args.resolution, "highest_cm": args.highest}
    if args.kind == "ir":
        correction = args.quantum_correction or "harmonic"
        return [ir_spectrum(motions, quantum_correction=correction, **options)]
    if args.kind == "raman":
        return list(raman_spectra(motions, **options))
    return [vibrational_density_of_states(motions, **options)]


def _modes(motion, model: str, structure: str):
    """Normal modes of a structure with a model; ValueError if it is not what moved."""
    import numpy as np

    from ase_schnet.calculator import SchNetCalculator
    from ase_schnet.cli.inputs import read_start, refuse_swapped
    from ase_schnet.spectra import normal_modes

    refuse_swapped(model, structure)
    atoms = read_start(structure)
    theirs, ours = sorted(motion.masses), sorted(atoms.get_masses())
    if len(theirs) != len(ours) or not np.allclose(theirs, ours, atol=0.1):
        raise ValueError(
            f"--harmonic {structure} is {atoms.get_chemical_formula()}, and its masses are not those of the "
            "atoms in the runs: its bands do not belong beside theirs"
        )
    atoms.calc = SchNetCalculator(model)
    return normal_modes(atoms)


def _summary(spectrum) -> str:
    """Integral and maxima, for people."""
    area, error = spectrum.integral()
    unit = "modes" if spectrum.kind == "vdos" else spectrum.unit.removesuffix(" cm")
    error = "" if error is None else f" ± {error:.2g}"
    alone = "" if spectrum.n_runs > 1 else " (one run has no error: give several, of other seeds)"
    return (
        f"{spectrum.kind}, {spectrum.n_runs} run{'s' * (spectrum.n_runs > 1)}, "
        f"{spectrum.temperature_K:.0f} K\n"
        f"integral           {area:.4g}{error} {unit}{alone}\n"
        f"maxima             {_list(spectrum.bands_cm())} cm⁻¹"
    )


def _sharing(spectrum) -> str:
    """Whether the runs have shared their energy among the vibrations, for people."""
    energies, several = spectrum.mode_energies, spectrum.n_runs > 1
    if energies is None:
        return "not tested for equal energies: a crystal, or too few frames"
    seen = f"{energies[0]:.2g} to {energies[-1]:.2g} times kT: the "
    seen += "runs have" if several else "run has"
    if spectrum.has_shared_energy:
        return f"{seen} shared {'their' if several else 'its'} energy among them"
    return (
        f"{seen} not shared {'their' if several else 'its'} energy among the vibrations: intensities of "
        f"single bands may be off by a factor of {spectrum.energy_factor_text}; give more and longer runs"
    )


def _list(wavenumber) -> str:
    return ", ".join(f"{value:.0f}" for value in wavenumber)
