"""Harmonic frequencies of ethanol by PBE/def2-SVP, the method of the data of models/ethanol.

    OMP_NUM_THREADS=1 python -m benchmarks.ethanol_reference       writes benchmarks/ethanol_reference.json

Minimum and analytic Hessian by pyscf, a few minutes of one core.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from ase import units
from ase.build import molecule
from ase.optimize import BFGS
from ase.vibrations import VibrationsData
from pyscf import dft, gto

from ase_schnet import SchNetCalculator
from ase_schnet.labelling.dft import DFTCalculator, DFTSettings
from ase_schnet.runtime.files import write_whole

GRID_LEVEL = 5
FILE = Path(__file__).with_name("ethanol_reference.json")


def main() -> None:
    atoms = molecule("CH3CH2OH")
    atoms.calc = SchNetCalculator("ethanol")
    BFGS(atoms, logfile=None).run(fmax=1e-3)
    atoms.calc = DFTCalculator(DFTSettings("PBE", "def2-SVP", grid_level=GRID_LEVEL))
    BFGS(atoms, logfile="-").run(fmax=1e-3, steps=60)
    mol = gto.M(
        atom=list(zip(atoms.symbols, atoms.positions.tolist(), strict=True)), basis="def2-svp"
    )
    mean_field = dft.RKS(mol, xc="PBE").density_fit()
    mean_field.grids.level, mean_field.conv_tol = GRID_LEVEL, 1e-11
    mean_field.kernel()
    hessian = mean_field.Hessian().kernel().transpose(0, 2, 1, 3)  # (N, 3, N, 3), Hartree/Bohr²
    hessian = hessian * units.Hartree / units.Bohr**2
    data = VibrationsData(atoms, 0.5 * (hessian + hessian.transpose(2, 3, 0, 1)))
    energies, vectors = data.get_energies_and_modes(all_atoms=True)
    wavenumber = (energies.real - np.abs(energies.imag)) / units.invcm
    kept = np.sort(np.argsort(np.abs(wavenumber))[6:])
    told = {
        "level": "PBE/def2-SVP",
        "numbers": atoms.numbers.tolist(),
        "positions_Ang": atoms.positions.tolist(),
        "overall_cm": np.delete(wavenumber, kept).tolist(),
        "wavenumber_cm": wavenumber[kept].tolist(),
        "modes": vectors[kept].tolist(),
    }
    write_whole(FILE, (json.dumps(told, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
