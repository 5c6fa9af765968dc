"""Stretch the O-H bond of ethanol and compare with PBE: where does the model become unreliable?

    python md_examples/3_oh_scan.py  (--quick: every fifth point)

The reference curve was computed with reference_oh_scan.py (UKS PBE/def2-SVP, the level of the training data).
"""

import sys
from pathlib import Path

import numpy as np
from ase.io import read

from ase_schnet import SchNetCalculator, scan_distance
from ase_schnet.plotting import plot_scan, save_figure

HERE = Path(__file__).parent
REFERENCE = HERE / "ethanol_oh_scan_pbe_def2svp.xyz"
OUTPUT = HERE / "output"
OUTPUT.mkdir(exist_ok=True)
OXYGEN, HYDROGEN = 2, 8

atoms = min(read(REFERENCE, ":"), key=lambda a: a.get_potential_energy())
atoms.calc = SchNetCalculator("ethanol")
distances = np.arange(0.70, 3.001, 0.1 if "--quick" in sys.argv else 0.02)
scan = scan_distance(atoms, OXYGEN, HYDROGEN, distances, reference=REFERENCE)

figure = save_figure(plot_scan(scan), OUTPUT / "oh_scan.png")
scan.write_csv(OUTPUT / "oh_scan.csv")

trained, known = scan.trained_range, scan.known_range  # with PBE labels, and with those of GFN2-xTB

inside = (distances >= trained[0]) & (distances <= trained[1])
print(
    f"O-H distances in training: {trained[0]:.3f} to {trained[1]:.3f} Å with PBE, {known[0]:.2f} to "
    f"{known[1]:.2f} Å with GFN2-xTB"
)
error = scan.energies_eV - scan.reference_energies_eV
error -= error[inside].mean()  # the zero of pyscf is another one
stretched = distances > 1.1
print(
    f"from 1.1 to 3 Å: error {1000 * np.sqrt((error[stretched] ** 2).mean()):.0f} meV (rms), ensemble std "
    f"{1000 * np.sqrt((scan.energy_std_eV[stretched] ** 2).mean()):.0f} meV"
)
bars = scan.energy_error_eV
covered = np.abs(error) <= bars
print(
    f"error bars of {100 * scan.error_level:.0f} %: {covered[stretched].sum()} of {stretched.sum()} points "
    f"beyond 1.1 Å are within them; median {1000 * np.median(bars[inside]):.1f} meV within training, "
    f"{1000 * np.median(bars[stretched]):.0f} beyond"
)
print(f"picture: {figure}")
