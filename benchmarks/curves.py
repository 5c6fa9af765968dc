"""Bonds stretched and squeezed, against a better method: `python -m benchmarks.curves MOLECULE=MODEL ...`.

Rigid scans of the reference files in md_examples, which reference_oh_scan.py and reference_bond_scan.py made
by PBE/def2-SVP (methanol: UCCSD(T), ccsdt.py). Writes curves.md and curves.png.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from ase.io import read
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ase_schnet import SchNetCalculator
from ase_schnet.runtime.files import write_whole

HERE = Path(__file__).resolve().parent
SCANS = HERE.parent / "md_examples"
KCAL = 23.0605  # kcal/mol in an eV
#: Å about the length at rest, in which data of 500 K lie; the zero of both curves is their mean there.
BELOW, ABOVE = 0.09, 0.13
CURVES = {
    "ethanol": {
        "O-H": ("ethanol_oh_scan_pbe_def2svp.xyz", (2, 8)),
        "C-H": ("ethanol_ch_scan_pbe_def2svp.xyz", (1, 5)),
        "C-O": ("ethanol_co_scan_pbe_def2svp.xyz", (0, 2)),
    },
    "methanol": {"O-H": ("methanol_oh_scan_ccsdt.xyz", (1, 3))},
}
HEAD = """# Along bonds

Written by `python -m benchmarks.curves`; do not edit. RMSE in kcal/mol against the reference, all else at
rest: *below* the data, from 0.7 Å to 0.09 Å less than at rest (of C-O that is half its length, and 1200
kcal/mol up), and of it *from 0.72* times the length at rest, which is 0.7 Å of O-H; *above* them, from 0.13 Å
more than at rest to 3 Å, and of it *to 1.5* times the length at rest; *falls*: the most by which the energy
goes down again while the bond is stretched (that of the reference in parentheses); *std*: median standard
deviation of the ensemble above the data, kcal/mol.

| molecule | bond | below | from 0.72 | above | to 1.5 | falls | std |
|---|---|---:|---:|---:|---:|---:|---:|
"""


def references(molecule: str) -> dict[str, tuple[Path, tuple[int, int]]]:
    """Return file and atoms of the reference curves of a molecule that are there, by bond."""
    known = {bond: (SCANS / file, pair) for bond, (file, pair) in CURVES.get(molecule, {}).items()}
    return {bond: what for bond, what in known.items() if what[0].exists()}


def points(
    model: str | Path, reference: Path, pair: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return distances (Å), reference, model and std (kcal/mol), up to 3 Å; zero is the range of the data."""
    calculator, rows = SchNetCalculator(model), []
    for atoms in read(reference, ":"):
        distance, expected = atoms.get_distance(*pair), atoms.get_potential_energy()
        atoms.calc = calculator
        found = atoms.get_potential_energy()
        rows.append((distance, expected, found, atoms.calc.results.get("energy_std", np.nan)))
    d, expected, found, std = np.array(sorted(rows)).T
    kept = (d > 0.69) & (d < 3.01)
    d, expected, found, std = d[kept], *(KCAL * e[kept] for e in (expected, found, std))
    near = np.abs(d - d[expected.argmin()]) < BELOW
    return d, expected - expected[near].mean(), found - found[near].mean(), std


def errors(model: str | Path, reference: Path, pair: tuple[int, int]) -> dict[str, float]:
    """Return RMSE in kcal/mol in ranges of a bond, and the largest fall where it is stretched."""
    d, expected, found, std = points(model, reference, pair)
    rest = d[expected.argmin()]
    ranges = {"below": d < rest - BELOW, "above": d > rest + ABOVE}
    ranges["from 0.72"] = ranges["below"] & (d > 0.72 * rest)
    ranges["to 1.5"] = ranges["above"] & (d < 1.5 * rest)
    error = found - expected
    result = {name: float(np.sqrt((error[where] ** 2).mean())) for name, where in ranges.items()}
    stretched = d >= rest
    result["falls"] = _fall(found[stretched])
    result["reference falls"] = _fall(expected[stretched])
    result["std"] = float(np.median(std[ranges["above"]]))
    return result


def _fall(energies: np.ndarray) -> float:
    return float((np.maximum.accumulate(energies) - energies).max())


def markdown(models: dict[str, str]) -> str:
    """The file."""
    lines = []
    for molecule, model in models.items():
        for bond, what in references(molecule).items():
            r = errors(model, *what)
            cells = [f"{r[name]:.1f}" for name in ("below", "from 0.72", "above", "to 1.5")]
            cells += [f"{r['falls']:.1f} ({r['reference falls']:.1f})", f"{r['std']:.1f}"]
            lines.append(f"| {molecule} | {bond} | " + " | ".join(cells) + " |")
    return HEAD + "\n".join(lines) + "\n\n![Energies along bonds](curves.png)\n"


def plot(models: dict[str, str], path: Path) -> None:
    """Draw a panel for each curve."""
    panels = [
        (molecule, bond, points(model, *what))
        for molecule, model in models.items()
        for bond, what in references(molecule).items()
    ]
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(4.2 * columns, 3.4 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, (molecule, bond, (d, expected, found, std)) in zip(grid, panels, strict=False):
        axes.fill_between(d, found - std, found + std, color="C0", alpha=0.25, lw=0)
        axes.plot(d, found, color="C0", label="model, ± std")
        axes.plot(d, expected, "k.", ms=4, label="reference")
        axes.set_ylim(-10, 1.4 * expected[d >= d[expected.argmin()]].max())
        axes.set_title(f"{molecule}, {bond.replace('-', '–')}")
        axes.set_xlabel("distance (Å)")
        axes.set_ylabel("energy (kcal/mol)")
    for axes in grid[len(panels) :]:
        axes.set_axis_off()
    grid[0].legend(frameon=False)
    figure.savefig(path, dpi=150)


def main(argv: list[str] | None = None) -> int:
    """Write table and figure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.curves")
    parser.add_argument("models", nargs="+", metavar="MOLECULE=MODEL")
    parser.add_argument("--results", type=Path, default=HERE / "curves.md")
    options = parser.parse_args(argv)
    named = (text.partition("=")[::2] for text in options.models)
    models = {molecule: model or molecule for molecule, model in named}
    for molecule in models:
        if not references(molecule):
            parser.error(f"there is no reference curve of {molecule}")
    text = markdown(models)
    write_whole(options.results, text.encode())
    plot(models, options.results.with_suffix(".png"))
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
