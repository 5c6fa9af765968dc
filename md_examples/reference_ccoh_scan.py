"""Compute the reference of the C-C-O-H rotation of ethanol: RKS-PBE/def2-SVP energies (eV) with pyscf.

python md_examples/reference_ccoh_scan.py

The structures are those of 4_dihedral_scan.py, relaxed with models/ethanol, so that the difference is only
the model's error in energy. Half a turn is computed; the other half is its mirror image.
"""

import runpy
from pathlib import Path

import pyscf
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write
from ase.units import Hartree
from tqdm import tqdm

HERE = Path(__file__).parent
OUTPUT = HERE / "ethanol_ccoh_scan_pbe_def2svp.xyz"
LEVEL = f"RKS-PBE/def2-SVP, grid level 4, no RI, pyscf {pyscf.__version__}"


def energy(atoms) -> float:
    atom = [(a.symbol, a.position) for a in atoms]
    mf = pyscf.M(atom=atom, basis="def2-svp", verbose=0).RKS(xc="pbe")
    mf.grids.level, mf.conv_tol = 4, 1e-9
    mf.kernel()
    assert mf.converged
    return mf.e_tot * Hartree


def labelled(atoms, value_deg, energy_eV):
    new = atoms.copy()
    new.info = {"CCOH_dihedral_deg": value_deg, "theory": LEVEL}
    new.calc = SinglePointCalculator(new, energy=energy_eV)
    return new


def main():
    scan = runpy.run_path(str(HERE / "4_dihedral_scan.py"))["scan"]
    frames = []
    for value, frame in tqdm(list(zip(scan.values.tolist(), scan.frames, strict=True))):
        if value > 180:
            break
        frames.append(labelled(frame, value, energy(frame)))
        if value not in (0, 180):
            mirrored = frame.copy()
            mirrored.positions[:, 2] *= -1
            frames.append(labelled(mirrored, 360 - value, frames[-1].get_potential_energy()))
    frames.sort(key=lambda atoms: atoms.info["CCOH_dihedral_deg"])
    write(OUTPUT, frames)


if __name__ == "__main__":
    main()
