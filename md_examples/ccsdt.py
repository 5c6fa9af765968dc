"""UCCSD(T) as a reference method of a script, for single energies of small molecules along breaking bonds.

    python md_examples/reference_bond_scan.py methanol.xyz 1 3 scan.xyz md_examples/ccsdt.py:uccsdt

The UHF solution may break its symmetry, the core is frozen. Any function that returns an ASE calculator
serves as `FILE.py:NAME`, for `ase-schnet label --reference` too. Needs pip install "ase-schnet[reference]".
"""

import numpy as np
from ase.calculators.calculator import CalculationFailed, Calculator, all_changes
from ase.units import Hartree
from pyscf import cc, gto, scf

BASIS = "cc-pVTZ"
LEVEL = f"UCCSD(T)/{BASIS}"


class UCCSDT(Calculator):
    """Energies of singlets, eV; UHF starts from mixed orbitals and from the density of the last structure."""

    implemented_properties = ["energy", "free_energy"]  # noqa: RUF012 (as ASE has it)
    density = None

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        places = list(zip(self.atoms.symbols, self.atoms.positions.tolist(), strict=True))
        molecule = gto.M(atom=places, basis=BASIS, verbose=0)
        starts = [mixed(molecule)] + ([] if self.density is None else [self.density])
        lowest = min((solved(molecule, start) for start in starts), key=lambda mf: mf.e_tot)
        self.density = lowest.make_rdm1()
        heavy = sum(z > 2 for z in self.atoms.numbers)
        coupled = cc.UCCSD(lowest, frozen=heavy).run()
        if not coupled.converged:
            raise CalculationFailed("CCSD did not converge")
        energy = float(coupled.e_tot + coupled.ccsd_t()) * Hartree
        self.results = {"energy": energy, "free_energy": energy}


def mixed(molecule):
    """Densities (2, n, n): of the restricted solution, one highest orbital half in the lowest empty one."""
    closed = scf.RHF(molecule).run()
    pairs = molecule.nelectron // 2
    down = closed.mo_coeff[:, :pairs]
    up = down.copy()
    up[:, -1] = (closed.mo_coeff[:, pairs - 1] + closed.mo_coeff[:, pairs]) / 2**0.5
    return np.array([up @ up.T, down @ down.T])


def solved(molecule, density):
    """UHF from a density, followed downhill where it is not stable."""
    mean_field = scf.UHF(molecule)
    mean_field.max_cycle = 200
    mean_field.kernel(density)
    for _ in range(3):
        orbitals, _, stable, _ = mean_field.stability(return_status=True)
        if stable:
            return mean_field
        mean_field.kernel(mean_field.make_rdm1(orbitals, mean_field.mo_occ))
    return mean_field


def uccsdt(charge=0, multiplicity=1):
    """Return the calculator, for neutral singlets."""
    if (charge, multiplicity) != (0, 1):
        raise ValueError(
            f"only neutral singlets, not charge {charge} and multiplicity {multiplicity}"
        )
    return UCCSDT()


uccsdt.level_of_theory = LEVEL
