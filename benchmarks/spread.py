"""Do the bars of spread() hold the truth? Frequencies against the labels' method, averages against own runs.

    python -m benchmarks.spread              writes benchmarks/spread.md from what is cached; a few seconds
    python -m benchmarks.spread RUNS_DIR     runs silicon first, where it is not there yet

The references come from benchmarks.methanol_reference and benchmarks.ethanol_reference, which do not depend
on the models, so that a model trained anew is judged by these commands.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
from ase import Atoms, units

from ase_schnet import spread
from ase_schnet.propagation import Spread, harmonic_spread
from ase_schnet.propagation.harmonic import paired
from ase_schnet.runtime.files import write_whole
from ase_schnet.spectra import NormalModes
from ase_schnet.spectra.harmonic import zero_point_energy
from ase_schnet.uncertainty.bars import half_width, student_quantile
from benchmarks import ethanol_reference, methanol_reference, spread_silicon

HERE = Path(__file__).parent
CM = units._hbar * units.J * units.s / units.invcm  # cm⁻¹ of one sqrt(eV/amu)/Å


def table(title: str, rows: list[list[str]], head: list[str]) -> str:
    lines = [" | ".join(["", *row, ""]).strip() for row in (head, ["---"] * len(head), *rows)]
    return f"{title}\n\n" + "\n".join(lines) + "\n"


def covered(found: Spread, truth: np.ndarray) -> tuple[int, str]:
    """How many intervals hold the truth, and in words, with what a factor of 1 would cover."""
    inside = np.abs(found.value - truth) <= found.half_width
    z = (found.value - truth) / found.std
    text = (
        f"{inside.sum()} of {len(truth)} within ± at {100 * found.level:g} %; rms error over std "
        f"{np.sqrt(np.mean(z**2)):.2f}, where 1.55 is expected if the truth is one more member; calibration "
        f"factor of the card {found.factor:.2g}."
    )
    return int(inside.sum()), text


def frequencies_of(told: dict, modes: list[int], energies: dict[str, float]) -> np.ndarray:
    """Wavenumbers (cm⁻¹) by second differences of energies (eV) along the modes."""
    found = []
    for k in modes:
        up = energies[f"{k} +1"]
        down = energies.get(f"{k} -1", up)
        curvature = (up + down - 2 * energies["-1 +0"]) / told["widths"][k] ** 2
        found.append(np.sqrt(curvature) * CM)
    return np.array(found)


def methanol() -> str:
    """Second differences along the modes of a methanol, as far as they are computed."""
    if not methanol_reference.FILE.exists():
        return "## Methanol\n\nNot computed yet: `python -m benchmarks.methanol_reference`.\n"
    told = json.loads(methanol_reference.FILE.read_text())
    known = {name: e * units.Hartree for name, e in told["energies_Ha"].items()}
    wanted = [k for k, _ in told["points"] if k >= 0]
    done = sorted(
        k
        for k in set(wanted)
        if all(f"{m} {s:+d}" in known for m, s in [*told["points"], [-1, 0]] if m in (k, -1))
    )
    if not done:
        return (
            "## Methanol\n\nNo mode is complete yet: `python -m benchmarks.methanol_reference`.\n"
        )

    def by_model(calculator) -> np.ndarray:
        energies = {}
        for point in told["points"]:
            atoms = Atoms(told["numbers"], methanol_reference.positions_of(told, point))
            atoms.calc = calculator
            energies[f"{point[0]} {point[1]:+d}"] = atoms.get_potential_energy()
        return frequencies_of(told, done, energies)

    found, truth = spread(by_model, "methanol", progress=False), frequencies_of(told, done, known)
    rows = [
        [
            f"{told['wavenumber_cm'][k]:.0f}",
            f"{t:.1f}",
            f"{v:.1f} ± {h:.1f}",
            f"{v - t:+.2f}",
            f"{s:.2f}",
        ]
        for k, t, v, h, s in zip(done, truth, found.value, found.half_width, found.std, strict=True)
    ]
    title = (
        f"## Methanol: {told['level']}, {len(done)} of {len(set(wanted))} modes\n\n"
        "Second differences of energies "
        f"along fixed modes, the same by all. {covered(found, truth)[1]}"
    )
    return table(title, rows, ["mode, cm⁻¹", "reference", "model", "error", "std"])


def ethanol() -> str:
    """Harmonic frequencies of ethanol, each by its own minimum."""
    if not ethanol_reference.FILE.exists():
        return "## Ethanol\n\nNot computed yet: `python -m benchmarks.ethanol_reference`.\n"
    told = json.loads(ethanol_reference.FILE.read_text())
    atoms = Atoms(told["numbers"], told["positions_Ang"])
    harmonic = harmonic_spread(atoms, "ethanol", progress=False)
    reference = NormalModes(
        np.array(told["wavenumber_cm"]), None, ("",) * len(told["modes"]), np.array(told["modes"])
    )
    found = harmonic.wavenumber
    truth = reference.wavenumber_cm[paired(harmonic.modes, reference, atoms.get_masses())]
    rows = [
        [f"{t:.1f}", f"{v:.1f} ± {h:.1f}", f"{v - t:+.1f}", f"{s:.2f}"]
        for t, v, h, s in zip(truth, found.value, found.half_width, found.std, strict=True)
    ]
    zero = zero_point_energy(truth)
    ours = harmonic.zero_point_energy
    title = (
        f"## Ethanol: {told['level']} by pyscf, 21 modes\n\n"
        "Harmonic frequencies, each method at its own minimum. "
        f"{covered(found, truth)[1]} Zero-point energy {zero:.4f} eV, by the model {ours.value:.4f} ± "
        f"{ours.half_width:.4f}."
    )
    return table(title, rows, ["reference, cm⁻¹", "model", "error", "std"])


def held_by_others(said: np.ndarray, own: np.ndarray, error: np.ndarray, k: int) -> np.ndarray:
    """Whether the own averages (3,) of member k lie within the interval of the others."""
    others = np.delete(said, k, axis=0)
    model = half_width(others.std(axis=0, ddof=1), len(others))
    statistics = student_quantile(spread_silicon.N_BLOCKS - 1) * error
    return np.abs(own - others.mean(axis=0)) <= np.hypot(model, statistics)


def silicon() -> str:
    """Averages of members, expanded from one run, against runs of their own."""
    if not spread_silicon.FILE.exists():
        return "## Silicon\n\nNot run yet: `python -m benchmarks.spread_silicon RUNS_DIR`.\n"
    parts, n_inside, n_held, n_cases = [], 0, 0, 0
    names = [
        "mean potential energy, meV",
        "mean distance, first shell, mÅ",
        "height of first peak, 10⁻³",
    ]
    for told in json.loads(spread_silicon.FILE.read_text()):
        said, own = np.array(told["expanded"]), np.array(told["own"])  # (M, 3)
        errors = np.hypot(np.array(told["expanded_error"]), np.array(told["own_error"]))
        t = student_quantile(spread_silicon.N_BLOCKS - 1)
        inside = np.abs(said - own) <= t * errors
        n_inside, n_cases = n_inside + inside.sum(), n_cases + inside.size
        held = np.array([held_by_others(said, own[k], errors[k], k) for k in range(len(own))])
        n_held += held.sum()
        rows = []
        for j, name in enumerate(names):
            e, o = np.array(told["expanded_error"])[:, j], np.array(told["own_error"])[:, j]
            cells = [
                f"{1e3 * a:.3g} ± {1e3 * b:.1g} ({1e3 * c:.3g} ± {1e3 * d:.1g})"
                for a, b, c, d in zip(said[:, j], e, own[:, j], o, strict=True)
            ]
            stds = f"{1e3 * said[:, j].std(ddof=1):.3g} ({1e3 * own[:, j].std(ddof=1):.3g})"
            rows.append([name, *cells, stds, f"{inside[:, j].sum()}/5", f"{held[:, j].sum()}/5"])
        title = (
            f"### {told['temperature_K']} K, runs of {told['time_ps']:g} ps\n\n{told['sampling']}. "
            f"Second order over bars {told['second_order'][0]:.2g} (energy), "
            f"{told['second_order'][1]:.2g} (rdf). "
            f"Factor of the card {told['factor']:.2g}."
        )
        head = ["member minus ensemble", *(f"member {k}" for k in range(5)), "std", "agree", "held"]
        parts.append(table(title, rows, head))
    intro = (
        "## Silicon, 64 atoms: averages of members, expanded from one run (and from runs of their own)\n\n"
        "Each ± is one standard error. The runs share their thermal noise, which divides the error of their "
        "differences. The expansion agrees with the own runs within the 90 % of both statistical errors in "
        f"{n_inside} of {n_cases} cases (agree). Taken for the truth, a member's own average lies within the "
        f"90 % interval that the other four have by the expansion in {n_held} of {n_cases} (held; factor 1). "
        "Where the spread is below the error of the own run, as for the peak's height, this tests little.\n"
    )
    return "\n".join([intro, *parts])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="?", help="directory of the runs of silicon")
    args = parser.parse_args()
    if args.runs:
        subprocess.run([sys.executable, "-m", "benchmarks.spread_silicon", args.runs], check=True)
    text = "# Do the bars hold the truth?\n\nWritten by `python -m benchmarks.spread`.\n\n"
    text += "\n".join([ethanol(), methanol(), silicon()])
    write_whole(HERE / "spread.md", text.encode())
    print(text)


if __name__ == "__main__":
    main()
