"""Compute how the energy of a molecule rises when one bond is stretched or squeezed, by PBE/def2-SVP.

    python md_examples/reference_bond_scan.py molecule.xyz 2 8 oh_scan.xyz

moves atom 8 (counted from 0) of a relaxed molecule, with all that hangs on it, along the bond from atom 2: to
0.7 Å and to 3 Å, all else frozen, and writes energies (eV). Unrestricted singlets that may break symmetry, by
pyscf: outwards, then back, each point from its neighbour's density and from mixed orbitals; the lower one is
kept. About a minute a point for ethanol on one core. If it was stopped, the same command continues. Another
method is a fifth argument, such as pyscf:PBE0/def2-TZVP:uks. Needs pip install "ase-schnet[reference]".
"""

import sys
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read, write
from tqdm import tqdm

from ase_schnet import read_reference
from ase_schnet.bonds import fragment_of

METHOD = "pyscf:PBE/def2-SVP:uks"
STRETCH_ANG = np.r_[np.arange(0.7, 1.3, 0.06), np.arange(1.3, 3.01, 0.1)]


def sweeps(rest: float) -> list[float]:
    """Distances in the order in which they are computed: outwards, back, inwards."""
    distances = sorted({round(float(r), 3) for r in (*STRETCH_ANG, rest)})
    outwards = [r for r in distances if r >= rest]
    return [*outwards, *outwards[::-1], *(r for r in distances[::-1] if r < rest)]


def main(source: str, i: str, j: str, target: str, method: str = METHOD) -> None:
    """Compute what is not computed yet."""
    first, second, path = int(i), int(j), Path(target)
    done = {f.info["distance_Ang"]: f for f in read(path, ":")} if path.exists() else {}
    relaxed = read(source)
    rest = round(float(relaxed.get_distance(first, second)), 3)
    moving = fragment_of(relaxed, first, second)
    reference = read_reference(method)
    calculator = reference.calculator()
    times: dict[float, int] = {}
    for r in tqdm(sweeps(rest), unit="point"):
        times[r] = times.get(r, 0) + 1
        if r in done and done[r].info["sweeps"] >= times[r]:
            continue
        atoms = Atoms(relaxed.numbers, relaxed.positions)
        atoms.set_distance(first, second, r, fix=0, indices=moving)
        energy = calculator.get_potential_energy(atoms)
        if r in done:
            energy = min(energy, done[r].get_potential_energy())
        atoms.calc = SinglePointCalculator(atoms, energy=energy)
        atoms.info = {"distance_Ang": r, "sweeps": times[r], "units": "eV, Ang"}
        atoms.info["theory"] = reference.level_of_theory
        done[r] = atoms
        write(path, [done[k] for k in sorted(done)], format="extxyz")
    print(f"{path}: {len(done)} distances")


if __name__ == "__main__":
    if len(sys.argv) not in (5, 6):
        sys.exit(__doc__)
    main(*sys.argv[1:])
