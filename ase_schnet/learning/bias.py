"""A potential that is lower where the members disagree: runs on it find what the model does not know.

E = ⟨E⟩ − κ σ_E, with the sample standard deviation σ_E of the members' energies; its forces are
⟨F⟩ − κ Σ_m (E_m − ⟨E⟩)(F_m − ⟨F⟩) / ((M − 1) σ_E). Of its kind is Kulichenko et al., Nat. Comput. Sci. 2023,
3, 230, where the bias is bounded; here a monitor looks at every frame.
"""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes


class BiasedCalculator(Calculator):
    """Return energy and forces of an ensemble with a bias towards disagreement.

    Parameters
    ----------
    ensemble
        Calculator with ``energy_committee`` (M,) in eV and ``forces_committee`` (M, N, 3) in eV/Å.
    strength
        κ, standard deviations of the energy that are subtracted from it.
    """

    implemented_properties = ["energy", "forces"]  # noqa: RUF012 (as in ASE)

    def __init__(self, ensemble: Calculator, strength: float):
        super().__init__()
        self.ensemble, self.strength = ensemble, strength

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: list[str] | None = None,
        system_changes: list[str] = all_changes,
    ) -> None:
        """Evaluate the members, and their disagreement."""
        super().calculate(atoms, properties, system_changes)
        inner = self.atoms.copy()
        inner.calc = self.ensemble
        energy, forces = inner.get_potential_energy(), inner.get_forces()
        energies = self.ensemble.results["energy_committee"]
        deviation = energies - energies.mean()
        std = np.sqrt((deviation**2).sum() / (len(energies) - 1))
        slope = np.tensordot(deviation, self.ensemble.results["forces_committee"], axes=1)
        slope /= (len(energies) - 1) * max(std, 1e-12)  # -dσ/dR; at σ = 0 no direction is preferred
        self.results = {
            "energy": energy - self.strength * std,
            "forces": forces - self.strength * slope,
        }
