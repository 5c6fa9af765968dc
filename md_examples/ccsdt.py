"""UCCSD(T) as a reference method of a script, for single energies of small molecules along breaking bonds.

    python md_examples/reference_bond_scan.py methanol.xyz 1 3 scan.xyz md_examples/ccsdt.py:uccsdt

UCCSD(T) in the smaller basis, plus what UMP2 says of the larger one: a tenth of the time of UCCSD(T) in
that. The UHF solution may break its symmetry, the core is frozen. Any function that returns an ASE calculator
serves as `FILE.py:NAME`, for `ase-schnet label --reference` too. Needs pip install "ase-schnet[reference]".
"""

import numpy as np
from ase.calculators.calculator import CalculationFailed, Calculator, all_changes
from ase.units import Hartree
from pyscf import cc, gto, mp, scf

SMALL, LARGE = "cc-pVDZ", "cc-pVTZ"
LEVEL = f"UCCSD(T)/{SMALL} + UMP2/({LARGE} - {SMALL})"


class UCCSDT(Calculator):
    """Energies of singlets, eV; UHF starts from mixed orbitals and from the density of the last structure."""

    implemented_properties = ["energy", "free_energy"]  # noqa: RUF012 (as ASE has it)

    def __init__(self):
        super().__init__()
        self.densities = {}

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        heavy = sum(z > 2 for z in self.atoms.numbers)
        small, large = (self.mean_field(basis) for basis in (SMALL, LARGE))
        coupled = cc.UCCSD(small, frozen=heavy).run()
        if not coupled.converged:
            raise CalculationFailed("CCSD did not converge")
        second = [mp.UMP2(mean_field, frozen=heavy).run().e_tot for mean_field in (small, large)]
        total = coupled.e_tot + coupled.ccsd_t() + second[1] - second[0]
        energy = float(total) * Hartree
        self.results = {"energy": energy, "free_energy": energy}

    def mean_field(self, basis):
        """The lowest UHF solution that is found."""
        places = list(zip(self.atoms.symbols, self.atoms.positions.tolist(), strict=True))
        molecule = gto.M(atom=places, basis=basis, verbose=0)
        starts = [mixed(molecule)]
        starts += [self.densities[basis]] if basis in self.densities else []
        lowest = min((solved(molecule, start) for start in starts), key=lambda mf: mf.e_tot)
        self.densities[basis] = lowest.make_rdm1()
        return lowest


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
