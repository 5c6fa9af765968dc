"""Check the energy drift of any ASE calculator: copper with EMT, once correct, once with wrong forces.

python md_examples/7_drift_of_any_calculator.py  (--quick: one picosecond each)
"""

import sys
from pathlib import Path

from ase.build import bulk
from ase.calculators.emt import EMT

from ase_schnet import check_nve, drift, run_nvt
from ase_schnet.plotting import plot_drift, save_figure

OUTPUT = Path(__file__).parent / "output"
OUTPUT.mkdir(exist_ok=True)
TIME_PS = 1 if "--quick" in sys.argv else 4


class Overestimated(EMT):
    """EMT whose forces are 2 % too large, as after a wrong unit: no longer -dE/dx."""

    def calculate(self, *args, **kwargs):
        super().calculate(*args, **kwargs)
        self.results["forces"] = 1.02 * self.results["forces"]


for name, calculator in (("EMT", EMT()), ("forces times 1.02", Overestimated())):
    atoms = bulk("Cu", cubic=True)
    atoms.rattle(0.1, seed=0)  # moved from the lattice sites, so that anharmonicity matters
    atoms.calc = calculator
    record, verdict = check_nve(atoms, temperature_K=300, timestep_fs=4, time_ps=TIME_PS)
    print(f"{name}\n{verdict}\n")
    if name == "EMT":
        save_figure(plot_drift(record, verdict), OUTPUT / "copper_nve.png")

# with a thermostat the total energy changes; what it and the heat bath hold together must not
atoms = bulk("Cu", cubic=True)
atoms.calc = EMT()
record = run_nvt(atoms, temperature_K=300, timestep_fs=4, time_ps=TIME_PS)
print(f"EMT with a thermostat\n{drift(record)}")
