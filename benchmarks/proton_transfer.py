"""A proton that moves from one atom to another, by a model and by its reference.

`python -m benchmarks.proton_transfer START.xyz I J FROM TO PATH.xyz [REF]` relaxes START.xyz, moves atom J
away from I in steps of 0.025 Å, all else relaxed by the reference method, and writes the path; then

`python -m benchmarks.proton_transfer PATH.xyz MODEL ...` holds models against it: the barrier is the highest
energy of the path less that of its first minimum.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read, write
from ase.optimize import BFGS
from numpy.typing import NDArray

from ase_schnet import SchNetCalculator, read_reference, scan_distance

KCAL = 23.0605  # kcal/mol in an eV
STEP_ANG, FMAX = 0.025, 0.01


def follow(start: str, i: int, j: int, first: float, last: float, path: str, method: str) -> None:
    """Write the path: structures with energy (eV) and forces (eV/Å) of the reference."""
    reference = read_reference(method)
    atoms = read(start)
    atoms.info = {}
    atoms.calc = reference.calculator()
    with BFGS(atoms, logfile=None) as optimiser:
        optimiser.run(fmax=FMAX, steps=200)
    values = np.arange(first, last + 1e-9, STEP_ANG)
    found = scan_distance(atoms, i, j, values, relaxed=True, fmax=FMAX)
    frames = []
    for frame, distance in zip(found.frames, values, strict=True):
        frame.calc = atoms.calc
        energy, forces = frame.get_potential_energy(), frame.get_forces()
        frame.set_constraint()
        frame.calc = SinglePointCalculator(frame, energy=energy, forces=forces)
        frame.info = {"distance_Ang": float(distance), "units": "eV, Ang"}
        frame.info["theory"] = reference.level_of_theory
        frames.append(frame)
    write(path, frames, format="extxyz")


def barrier(energies: NDArray) -> tuple[float, int]:
    """Return the highest energy over the lowest before it, and its number along the path."""
    top = 1 + int(np.argmax(energies[1:-1] - 0.5 * (energies[0] + energies[-1])))
    inner = [k for k in range(1, len(energies) - 1) if energies[k] > energies[k - 1]]
    inner = [k for k in inner if energies[k] >= energies[k + 1]]
    top = max(inner, key=lambda k: energies[k]) if inner else top
    return float(energies[top] - energies[:top].min()), top


def compare(path: str, models: list[str]) -> None:
    """Print a table: barrier of the reference and of each model along the reference's path, kcal/mol."""
    frames = read(path, ":")
    expected = KCAL * np.array([a.get_potential_energy() for a in frames])
    height, top = barrier(expected)
    d = [a.info["distance_Ang"] for a in frames]
    print(
        f"{frames[0].info['theory']}: {height:.2f} kcal/mol at {d[top]:.3f} Å, {len(frames)} points"
    )
    print("\n| model | barrier, kcal/mol | off by | RMSE along the path | std at the top |")
    print("|---|---:|---:|---:|---:|")
    for model in models:
        calculator, energies, stds = SchNetCalculator(model), [], []
        for atoms in frames:
            atoms.calc = calculator
            energies.append(KCAL * atoms.get_potential_energy())
            stds.append(KCAL * calculator.results.get("energy_std", np.nan))
        found = np.array(energies)
        error = found - expected
        print(
            f"| {Path(model).name} | {barrier(found)[0]:.2f} | {barrier(found)[0] - height:+.2f} "
            f"| {(error - error.mean()).std():.2f} | {stds[top]:.2f} |"
        )


def main(arguments: list[str]) -> int:
    """Follow a path, or hold models against one."""
    if len(arguments) in (6, 7):
        start, i, j, first, last, path, *method = arguments
        follow(start, int(i), int(j), float(first), float(last), path, *(method or ["gfn2-xtb"]))
    elif len(arguments) >= 2:
        compare(arguments[0], arguments[1:])
    else:
        print(__doc__, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
