"""Make frames of ethanol that are hotter than the training data, at the level of theory of models/ethanol.

    python md_examples/reference_hot_frames.py 60

writes ethanol_hot_pbe_def2svp.xyz beside this script: structures 0.25 ps apart from GFN2-xTB dynamics at
1500 K (Langevin; rMD17 was drawn at 500 K), with PBE/def2-SVP energies and forces by pyscf, about 5 s
each on one core. If it was stopped, the same command continues. Needs pip install "ase-schnet[reference]".
"""

import sys
from pathlib import Path

import numpy as np
from ase import units
from ase.build import molecule
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read, write
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import thermalize_momenta
from tblite.ase import TBLite
from tqdm import tqdm

from ase_schnet import read_reference

TARGET = Path(__file__).with_name("ethanol_hot_pbe_def2svp.xyz")
ORDER = [1, 0, 2, 4, 5, 6, 7, 8, 3]  # of rMD17: C, C, O, five H on carbon, H on oxygen
TEMPERATURE_K = 1500
STEPS = 500  # of 0.5 fs between two structures


def structures(n: int):
    """n structures of one trajectory, after 0.5 ps without."""
    atoms = molecule("CH3CH2OH")[ORDER]
    atoms.calc = TBLite(method="GFN2-xTB", verbosity=0)
    rng = np.random.default_rng(0)
    thermalize_momenta(atoms, temperature_K=TEMPERATURE_K, rng=rng)
    heat = {"temperature_K": TEMPERATURE_K, "friction": 0.01 / units.fs, "fixcm": False}
    dynamics = Langevin(atoms, 0.5 * units.fs, rng=rng, **heat)
    dynamics.run(2 * STEPS)
    for _ in range(n):
        dynamics.run(STEPS)
        yield atoms.copy()


def label(atoms):
    """The same structure with energy in eV and forces in eV/Å."""
    pbe = read_reference("pyscf:PBE/def2-SVP").calculator()
    forces, energy = pbe.get_forces(atoms), pbe.get_potential_energy(atoms)
    labelled = atoms.copy()
    labelled.set_momenta(None)
    labelled.info["units"] = "eV, Ang"
    labelled.calc = SinglePointCalculator(labelled, energy=energy, forces=forces)
    return labelled


def main(n_structures: str) -> None:
    """Label what is not labelled yet."""
    n = int(n_structures)
    done = len(read(TARGET, ":")) if TARGET.exists() else 0
    for k, atoms in enumerate(tqdm(structures(n), total=n, disable=None)):
        if k >= done:
            write(TARGET, label(atoms), append=True)
    print(f"{TARGET}: {n} structures")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(*sys.argv[1:])
