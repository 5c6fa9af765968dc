"""Run silicon at 300 K, check its conserved energy, and average the rdf with its error.

python md_examples/6_silicon_rdf.py  (--quick: fewer and longer steps)
"""

import itertools
import sys
from pathlib import Path

import numpy as np
from ase.build import bulk

from ase_schnet import SchNetCalculator, drift, run_nvt, spread
from ase_schnet.plotting import plot_rdf, save_figure
from ase_schnet.propagation import bin_centres, rdf

OUTPUT = Path(__file__).parent / "output"
RUN = OUTPUT / "silicon_nvt"
SPACING, N_BINS = 5.469, 160  # Å, PBE
R_MAX = 5.4  # Å, below half of the cell

atoms = bulk("Si", "diamond", a=SPACING, cubic=True) * (2, 2, 2)  # 64 atoms
atoms.calc = SchNetCalculator("silicon")
# if it was stopped, the same command continues
options = {"time_ps": 25, "timestep_fs": 2, "trajectory_every": 20}
if "--quick" in sys.argv:
    options = {"time_ps": 16, "timestep_fs": 4, "trajectory_every": 10}
options |= {"thermostat": "langevin", "time_constant_fs": 50}  # soon independent frames
record = run_nvt(atoms, temperature_K=300, run_dir=RUN, resume=True, **options)
print(
    f"64 atoms of silicon, {record.time_fs[-1] / 1000:g} ps, {record.temperature_K.mean():.0f} K on average"
)
print(drift(record))

# one run tells what each of the ten members would find in its own; the first picosecond is for equilibration
averaged = spread(rdf(R_MAX, N_BINS), atoms.calc, frames=RUN, skip_ps=1)
print(averaged.sampling)
r, g = bin_centres(R_MAX, N_BINS), averaged.value  # Å

# the crystal at rest: distances and numbers of its neighbours
shells = np.sqrt([3 / 16, 1 / 2, 11 / 16]) * SPACING
density = 8 / SPACING**3
coordination = np.cumsum(g * 4 * np.pi * r**2 * density) * R_MAX / N_BINS
for shell, (low, high) in enumerate(itertools.pairwise([0, 3.2, 4.2, 5.0])):
    inside = (r > low) & (r < high)
    neighbours = np.ptp(coordination[inside])
    mean = np.average(r[inside], weights=(g * r**2)[inside])
    print(
        f"shell {shell + 1}: {neighbours:.1f} neighbours at {mean:.3f} Å, at rest {shells[shell]:.3f} Å"
    )

figure = plot_rdf(r, averaged)
ax = figure.axes[0]
for k, shell in enumerate(shells):
    ax.axvline(shell, color="#D55E00", lw=1, ls="--", label=None if k else "crystal at rest")
ax.axhline(1, color="#000000", lw=0.5)
ax.legend(frameon=False)
print(f"picture: {save_figure(figure, OUTPUT / 'silicon_rdf.png')}")
