"""Molecules of charges and springs, whose spectra are known, for the tests of spectra."""

import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import Calculator, all_changes

from ase_schnet.spectra import TrajectorySignals

#: The springs between the atoms of a bent triatomic, eV/Å², and their charges, e.
SPRINGS = {(0, 1): 40.0, (0, 2): 30.0, (1, 2): 8.0}
CHARGES = np.array([-0.6, 0.4, 0.2])


class ChargesAndSprings(Calculator):
    """Springs at rest in the given geometry, and a fixed charge on every atom."""

    implemented_properties = ["energy", "forces", "dipole"]  # noqa: RUF012

    def __init__(self, atoms: Atoms, springs: dict, charges, polarizability=None):
        super().__init__()
        self.polarizability = polarizability
        self.springs = {pair: (k, atoms.get_distance(*pair)) for pair, k in springs.items()}
        self.charges = np.asarray(charges)

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        positions, energy = self.atoms.positions, 0.0
        forces = np.zeros_like(positions)
        for (i, j), (k, rest) in self.springs.items():
            vector = positions[j] - positions[i]
            distance = np.linalg.norm(vector)
            energy += 0.5 * k * (distance - rest) ** 2
            force = k * (distance - rest) * vector / distance
            forces[i] += force
            forces[j] -= force
        self.results = {"energy": energy, "forces": forces, "dipole": self.charges @ positions}
        if self.polarizability is not None:
            self.results["polarizability"] = self.polarizability


def diatomic(k=40.0, charge=0.3) -> Atoms:
    atoms = Atoms("CO", [(0, 0, 0), (0.3, 0.4, 1.1)])
    atoms.calc = ChargesAndSprings(atoms, {(0, 1): k}, [charge, -charge])
    return atoms


def triatomic(polarizability=None) -> Atoms:
    atoms = Atoms("OHC", [(0, 0, 0), (0.9, 0.3, 0), (-0.4, 1.2, 0.1)])
    atoms.calc = ChargesAndSprings(atoms, SPRINGS, CHARGES, polarizability)
    return atoms


def harmonic_run(
    atoms,
    frequencies_cm,
    displacements,
    temperature_K,
    seed,
    n=3000,
    interval_fs=2,
    with_positions=False,
):
    """Exact motion of harmonic modes (M, N, 3) with the energies and phases of the canonical ensemble."""
    rng = np.random.default_rng(seed)
    time = np.arange(n)[:, None] * interval_fs * units.fs  # (T, 1)
    omega = np.asarray(frequencies_cm) * units.invcm / units._hbar * units._e / units.second  # (M,)
    energy = rng.exponential(units.kB * temperature_K, len(omega))
    phase = omega * time + rng.uniform(0, 2 * np.pi, len(omega))  # (T, M)
    coordinate = np.sqrt(2 * energy) / omega * np.cos(phase)
    velocity = -np.sqrt(2 * energy) * np.sin(phase)
    masses = atoms.get_masses()
    positions = atoms.positions + np.einsum("tm,mnc->tnc", coordinate, displacements)
    return TrajectorySignals(
        interval_fs=interval_fs,
        masses=masses,
        momenta=np.einsum("tm,mnc->tnc", velocity, displacements) * masses[:, None],
        n_degrees_of_freedom=len(omega),
        dipoles=np.einsum("n,tnc->tc", atoms.calc.charges, positions),
        positions=positions if with_positions else None,
    )
