"""The infrared spectrum of methanol at 300 K, from dynamics with models/methanol.

    python md_examples/8_ir_spectrum.py  (--quick: two runs of 0.5 ps)

Twenty runs of 5 ps with different start velocities; the first 1 ps of each is left out, because it starts
from a relaxed structure. The potential decides the positions of the bands, the dipole their heights. If it
was stopped, the same command continues.
"""

import sys
from pathlib import Path

import numpy as np
from ase.build import molecule

from ase_schnet import SchNetCalculator, ir_spectrum, normal_modes, run_replicas
from ase_schnet.plotting import plot_spectrum, save_figure
from ase_schnet.spectra import TrajectorySignals
from ase_schnet.spectra.measured_bands import MeasuredBands

HERE = Path(__file__).parent
OUTPUT = HERE / "output" / "methanol_ir"
QUICK = "--quick" in sys.argv
N_RUNS, TIME_PS, SKIP_PS, RESOLUTION_CM = (2, 0.6, 0.1, 100) if QUICK else (20, 6, 1, 20)

start = molecule("CH3OH")
start.calc = SchNetCalculator("methanol")
modes = normal_modes(start)

options = {"time_ps": TIME_PS, "timestep_fs": 0.5, "trajectory_every": 4, "record_every": 4}
run_replicas(
    start, N_RUNS, ensemble="nvt", temperature_K=300, run_dir=OUTPUT, resume=True, **options
)
folders = sorted(OUTPUT.glob("replica_*"))
runs = [TrajectorySignals.read(folder, skip_ps=SKIP_PS) for folder in folders]

spectrum = ir_spectrum(runs, resolution_cm=RESOLUTION_CM)
spectrum.write_csv(OUTPUT.with_suffix(".csv"))
measured = MeasuredBands.read(HERE / "methanol_bands_measured.csv")
picture = plot_spectrum(spectrum, modes=modes, measured=measured)
figure = save_figure(picture, OUTPUT.with_suffix(".png"))

print(f"methanol, {N_RUNS} × {TIME_PS - SKIP_PS:g} ps, {spectrum.temperature_K:.0f} K on average")
harmonic = [f"{w:.0f} {n}".strip() for w, n in zip(modes.wavenumber_cm, modes.names, strict=True)]
print("harmonic bands:", ", ".join(harmonic))
print("bands:         ", ", ".join(f"{w:.0f}" for w in np.sort(spectrum.bands_cm())), "cm⁻¹")
total, error = spectrum.integral()
print(
    f"intensity:      {total:.0f} ± {error:.0f} km/mol, "
    f"harmonic {modes.intensity_km_per_mol.sum():.0f}"
)
print(f"vibrations:     energies within a factor of {spectrum.energy_factor_text} of kT")
print(f"picture: {figure}")
