"""Run ethanol in OpenMM with a model, or any other ASE calculator, as its force.

    pip install openmm && python md_examples/openmm_dynamics.py

OpenMM's PythonForce calls a function for energy and forces; its units are nm, kJ/mol and ps. (To combine the
model with a classical force field, use `MLPotential("ase")` of openmm-ml, which also takes a calculator.)
"""

import sys

import numpy as np
import openmm
from ase import Atoms, units
from ase.build import molecule

from ase_schnet import SchNetCalculator

STEPS = int(sys.argv[1]) if len(sys.argv) > 1 else 4000
TIMESTEP_FS, TEMPERATURE_K, SAMPLES = 0.5, 300, 40
PER_EV, PER_EV_ANG = units.mol / units.kJ, 10 * units.mol / units.kJ  # kJ/mol, kJ/mol/nm


def force_of(atoms: Atoms) -> openmm.PythonForce:
    """The calculator of `atoms` as a force of OpenMM."""

    def evaluate(state):
        atoms.positions = 10 * state.getPositions(asNumpy=True)._value
        return atoms.get_potential_energy() * PER_EV, atoms.get_forces() * PER_EV_ANG

    return openmm.PythonForce(evaluate)


atoms = molecule("CH3CH2OH")
atoms.calc = SchNetCalculator("ethanol")
system = openmm.System()
for mass in atoms.get_masses():
    system.addParticle(mass)
system.addForce(force_of(atoms))
integrator = openmm.VerletIntegrator(TIMESTEP_FS / 1000)
context = openmm.Context(system, integrator, openmm.Platform.getPlatform("Reference"))
context.setPositions(atoms.positions / 10)
context.setVelocitiesToTemperature(TEMPERATURE_K, 1)

energies = []
for _ in range(SAMPLES):
    integrator.step(STEPS // SAMPLES)
    state = context.getState(getEnergy=True)
    total = state.getPotentialEnergy() + state.getKineticEnergy()
    energies.append(total._value / PER_EV)
time_ps = np.arange(SAMPLES) * (STEPS // SAMPLES) * TIMESTEP_FS / 1000
slope = np.polyfit(time_ps, energies, 1)[0] if len(energies) > 1 else 0.0
print(
    f"{STEPS * TIMESTEP_FS / 1000:g} ps: total energy {np.mean(energies):.4f} eV, "
    f"fluctuation {1000 * np.std(energies):.2f} meV, "
    f"slope {1000 * slope / len(atoms):+.3f} meV/atom/ps"
)
