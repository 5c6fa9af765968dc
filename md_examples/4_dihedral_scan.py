"""Rotate the hydroxyl group of ethanol, all else relaxed: three wells and barriers, with the ensemble std.

    python md_examples/4_dihedral_scan.py  (--quick: every 60 degrees)

The reference energies were computed with reference_ccoh_scan.py: PBE/def2-SVP, the level of the training
data.
"""

import sys
from pathlib import Path

import numpy as np
from ase.build import molecule
from ase.optimize import BFGS

from ase_schnet import SchNetCalculator, scan_dihedral
from ase_schnet.plotting import plot_scan, save_figure

HERE = Path(__file__).parent
REFERENCE = HERE / "ethanol_ccoh_scan_pbe_def2svp.xyz"
OUTPUT = HERE / "output"
OUTPUT.mkdir(exist_ok=True)
CCOH = (0, 1, 2, 3)

atoms = molecule("CH3CH2OH")  # trans: C-C-O-H is 180°
atoms.calc = SchNetCalculator("ethanol")
BFGS(atoms, logfile=None).run(fmax=0.005)

degrees = np.arange(0.0, 361.0, 60.0 if "--quick" in sys.argv else 10.0)
reference = REFERENCE if REFERENCE.exists() else None  # missing while it is being computed
scan = scan_dihedral(atoms, *CCOH, degrees, relaxed=True, fmax=0.005, reference=reference)

figure = save_figure(plot_scan(scan), OUTPUT / "dihedral_scan.png")
scan.write_csv(OUTPUT / "dihedral_scan.csv")

energies = 1000 * (scan.energies_eV - scan.energies_eV.min())  # meV
model = dict(zip(degrees.astype(int).tolist(), energies, strict=True))
print("ethanol, C-C-O-H turned, all else relaxed; meV above the lowest point")
print(f"wells:    gauche (60°) {model[60]:.1f}, trans (180°) {model[180]:.1f}")
print(f"barriers: gauche-trans (120°) {model[120]:.1f}, cis (0°) {model[0]:.1f}")
print(f"ensemble std: at most {1000 * scan.energy_std_eV.max():.1f} meV")
if reference:
    shift = scan.energies_eV - scan.reference_energies_eV
    error = 1000 * np.abs(shift - shift[energies.argmin()])
    print(f"error of the curve against PBE/def2-SVP: at most {error.max():.1f} meV")
print(f"picture: {figure}")
