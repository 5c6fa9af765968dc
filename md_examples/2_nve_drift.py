"""Ten picoseconds of ethanol at constant energy: was the energy conserved?

python md_examples/2_nve_drift.py  (--quick: half a picosecond)
"""

import sys
from pathlib import Path

from ase.build import molecule
from ase.optimize import BFGS

from ase_schnet import SchNetCalculator, check_nve
from ase_schnet.plotting import plot_drift, save_figure

OUTPUT = Path(__file__).parent / "output"
OUTPUT.mkdir(exist_ok=True)
TIME_PS, TEST_TIME_PS = (0.5, 0.2) if "--quick" in sys.argv else (10, 1)

atoms = molecule("CH3CH2OH")
atoms.calc = SchNetCalculator("ethanol")
BFGS(atoms, logfile=None).run(fmax=0.01)

# relaxed: half of the kinetic energy becomes potential energy, so 600 K at the start are 300 K on average
record, drift = check_nve(
    atoms, temperature_K=600, timestep_fs=0.5, time_ps=TIME_PS, test_time_ps=TEST_TIME_PS
)
figure = save_figure(plot_drift(record, drift), OUTPUT / "nve_drift.png")

print(f"ethanol, {record.time_fs[-1] / 1000:g} ps at {record.temperature_K.mean():.0f} K")
print(drift)
print(f"picture: {figure}")
