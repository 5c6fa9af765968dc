"""Compute dipoles of ethanol for models/ethanol, at the level of theory of its energies.

    python md_examples/reference_dipoles.py rmd17_ethanol_train_01.npz 300

writes ethanol_dipoles.extxyz here: PBE/def2-SVP with pyscf (density fitting, grid level 1) at the file's
first structures, about 1.5 s each on one core. If it was stopped, the same command continues. Needs
pip install "ase-schnet[reference]".
"""

import sys
from pathlib import Path

from ase import units
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read, write
from pyscf import dft, gto
from tqdm import tqdm

from ase_schnet import read_labelled

TARGET = Path("ethanol_dipoles.extxyz")


def label(atoms):
    """The same structure with its dipole about the origin, e·Å; the molecule is neutral."""
    geometry = list(zip(atoms.get_chemical_symbols(), atoms.positions.tolist(), strict=True))
    molecule = gto.M(atom=geometry, basis="def2-svp", verbose=0)
    scf = dft.RKS(molecule, xc="pbe").density_fit()
    scf.grids.level = 1
    scf.kernel()
    if not scf.converged:
        raise RuntimeError(f"the SCF of {atoms} did not converge")
    dipole = scf.dip_moment(unit="AU", verbose=0) * units.Bohr
    labelled = atoms.copy()
    labelled.calc = SinglePointCalculator(labelled, dipole=dipole)
    return labelled


def main(source: str, n_structures: str) -> None:
    """Label what is not labelled yet."""
    frames = read_labelled(source)[0][: int(n_structures)]
    done = len(read(TARGET, ":")) if TARGET.exists() else 0
    for atoms in tqdm(frames[done:], initial=done, total=len(frames), disable=None):
        write(TARGET, label(atoms), append=True)
    print(f"{TARGET}: {len(frames)} structures")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
