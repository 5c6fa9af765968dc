"""Add a dispersion correction to a model; the monitor still works. Needs pip install dftd3.

    python md_examples/dispersion.py

The labels of models/ethanol are PBE without dispersion. ASE's SumCalculator adds D3; the monitor, the scans
and the record of a run find the model inside it, with its limits and standard deviations.
"""

from ase.build import molecule
from ase.calculators.mixing import SumCalculator
from dftd3.ase import DFTD3

from ase_schnet import Monitor, SchNetCalculator, run_nvt, scan_distance

atoms = molecule("CH3CH2OH")
atoms.calc = SumCalculator([SchNetCalculator("ethanol"), DFTD3(method="PBE", damping="d3bj")])
model_eV, dispersion_eV = (calc.get_potential_energy(atoms) for calc in atoms.calc.mixer.calcs)
total_eV = atoms.get_potential_energy()
print(f"model {model_eV:.3f} eV, dispersion {dispersion_eV:.3f} eV, together {total_eV:.3f} eV")

record = run_nvt(atoms, temperature_K=300, time_ps=0.2, timestep_fs=0.5, monitor=Monitor())
print(f"{len(record)} samples, {record.temperature_K.mean():.0f} K, watched")

scan = scan_distance(molecule("CH3CH2OH", calculator=atoms.calc), 2, 3, [0.8, 0.95, 1.1, 1.3])
for value, std, outside in zip(scan.values, scan.energy_std_eV, scan.outside_training, strict=True):
    print(f"O-H {value:.2f} Å: std {1000 * std:.1f} meV  {outside}")
