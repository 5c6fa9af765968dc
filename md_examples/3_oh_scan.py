"""Stretch the O-H bond of ethanol and compare with PBE: where does the model become unreliable?

    python md_examples/3_oh_scan.py

The reference curve was computed with reference_oh_scan.py (UKS PBE/def2-SVP, the level of the training data).
"""

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
distances = np.arange(0.70, 3.001, 0.02)
scan = scan_distance(atoms, OXYGEN, HYDROGEN, distances, reference=REFERENCE)

trained = atoms.calc.trained_distance_range("O", "H", atoms.get_distance(OXYGEN, HYDROGEN))
figure = save_figure(plot_scan(scan, trained), OUTPUT / "oh_scan.png")
scan.write_csv(OUTPUT / "oh_scan.csv")

inside = (distances >= trained[0]) & (distances <= trained[1])
std = 1000 * scan.energy_std_eV  # meV
print(f"O-H distances in training: {trained[0]:.3f} to {trained[1]:.3f} Å")
print(
    f"ensemble std, median: {np.median(std[inside]):.1f} meV inside, {np.median(std[~inside]):.0f} "
    f"meV outside ({np.median(std[~inside]) / np.median(std[inside]):.0f} times)"
)
print(f"picture: {figure}")
