"""Density functionals by pyscf as an ASE calculator; an extra: pip install 'ase-schnet[reference]'."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from ase import Atoms
from ase.calculators.calculator import CalculationFailed, Calculator, all_changes
from ase.data import chemical_symbols
from ase.units import Bohr, Hartree
from numpy.typing import NDArray
from pyscf import dft, gto
from pyscf.scf.dispersion import parse_dft

from ase_schnet.labelling.threads import one_thread
from ase_schnet.structures.electrons import lowest_multiplicity

#: Largest displacement of an atom, Å, up to which the density of the last structure is a good start.
NEAR_ANG = 0.5
MAX_CYCLES = 100
#: How often an unrestricted solution that is not stable is followed downhill.
MAX_DESCENTS = 3
STEEP_HARTREE = 1e-7
COARSE_GRID = 0


class SCFNotConverged(CalculationFailed):
    """Report an SCF that did not converge, also not by the second-order solver."""


@dataclass(frozen=True)
class DFTSettings:
    """Hold what the Kohn-Sham equations are solved with.

    Attributes
    ----------
    functional, basis
        Names that pyscf knows.
    broken_symmetry
        Look for a spin-polarised solution also of singlets whose pairs are not stable, as in broken bonds.
    density_fit
        Coulomb and exchange by density fitting (RI).
    grid_level
        Level of pyscf's integration grids, 0 to 9.
    """

    functional: str
    basis: str
    broken_symmetry: bool = False
    density_fit: bool = True
    grid_level: int = 3


class DFTCalculator(Calculator):
    """Evaluate a density functional for a molecule: energy (eV), forces (eV/Å) and dipole (e·Å).

    Restricted for singlets, unrestricted for other multiplicities and where broken symmetry is asked for. The
    forces are analytic. The SCF starts from the density of the last structure if the atoms are the same and
    have moved little. It uses one thread.

    Parameters
    ----------
    settings
        Functional, basis and accuracy.
    charge
        Total charge, e.
    multiplicity
        2S + 1; None: the lowest that the number of electrons allows.

    Raises
    ------
    SCFNotConverged
        In an evaluation, after a second attempt with a second-order solver.
    """

    implemented_properties = ["energy", "free_energy", "forces", "dipole"]  # noqa: RUF012 (as ASE has it)

    def __init__(self, settings: DFTSettings, charge: int = 0, multiplicity: int | None = None):
        self.settings, self.charge, self.multiplicity = settings, charge, multiplicity
        self._solution: tuple | None = None  # of the equations, and its structure
        super().__init__()

    def forget(self) -> None:
        """Start the next SCF anew, so that its result does not depend on the structures before."""
        self.reset()
        self._solution = None

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes) -> None:
        """Solve the Kohn-Sham equations, and compute those of `properties` that are asked for."""
        super().calculate(atoms, properties, system_changes)
        with one_thread("pyscf"):
            if system_changes or self._solution is None:
                last, self._solution = self._solution, None
                start = None if last is None else _density(*last, self.atoms)
                self._solution = self._solve(start), self.atoms
            solution, _ = self._solution
            energy = float(solution.e_tot) * Hartree
            results = {"energy": energy, "free_energy": energy}
            if "forces" in properties:
                gradient = solution.nuc_grad_method().kernel()  # (N, 3), Hartree/Bohr
                results["forces"] = -np.asarray(gradient) * Hartree / Bohr
            if "dipole" in properties:
                results["dipole"] = np.asarray(solution.dip_moment(unit="AU", verbose=0)) * Bohr
        self.results = self.results | results

    def _solve(self, start: NDArray | None):
        """Return the converged solution, the lowest of those that are tried."""
        molecule = self._molecule(self.atoms)
        if molecule.spin or not self.settings.broken_symmetry or molecule.nelectron < 2:
            return self._converged(molecule, bool(molecule.spin), start)
        closed = self._converged(molecule, False, start if start is None else _total(start))
        if _keeps_pairs(closed):
            return closed
        starts = [_mixed(closed)] + ([start] if start is not None and start.ndim == 3 else [])
        open_shells = [_stable(self._converged(molecule, True, guess)) for guess in starts]
        return min(open_shells, key=lambda solution: solution.e_tot)

    def _molecule(self, atoms: Atoms) -> gto.Mole:
        multiplicity = self.multiplicity or lowest_multiplicity(atoms.numbers, self.charge)
        symbols = [chemical_symbols[number] for number in atoms.numbers]
        return gto.M(
            atom=list(zip(symbols, atoms.positions.tolist(), strict=True)),
            basis=self.settings.basis,
            ecp=core_potentials(self.settings.basis, set(symbols)),
            charge=self.charge,
            spin=multiplicity - 1,
            verbose=0,
        )

    def _converged(self, molecule: gto.Mole, unrestricted: bool, start: NDArray | None):
        scf = (dft.UKS if unrestricted else dft.RKS)(molecule, xc=self.settings.functional)
        if scf.chkfile is not None:  # a temporary file, of no use here
            scf._chkfile.close()
            scf.chkfile = None
        if self.settings.density_fit:
            scf = scf.density_fit()
        scf.grids.level, scf.max_cycle = self.settings.grid_level, MAX_CYCLES
        if start is not None and (start.ndim == 3) != unrestricted:
            start = np.array([start / 2] * 2) if unrestricted else _total(start)
        scf.kernel(dm0=start)
        if not scf.converged:
            second = scf.newton()
            second.kernel(scf.mo_coeff, scf.mo_occ)
            scf = second.undo_newton()
            scf.converged = second.converged
        if not scf.converged:
            raise SCFNotConverged(
                f"the SCF of {self.atoms.get_chemical_formula()} did not converge in {MAX_CYCLES} cycles, "
                "nor with the second-order solver"
            )
        return scf


def _density(solution, before: Atoms, now: Atoms) -> NDArray | None:
    """Return the density matrix of the last solution if it is that of nearly the same structure."""
    if not np.array_equal(before.numbers, now.numbers):
        return None
    moved = np.linalg.norm(before.positions - now.positions, axis=1)
    return np.asarray(solution.make_rdm1()) if moved.max() < NEAR_ANG else None


def _total(density: NDArray) -> NDArray:
    return density if density.ndim == 2 else density[0] + density[1]


def _mixed(closed) -> NDArray:
    """Return densities (2, n, n) with one spin's highest occupied orbital half in the lowest empty one."""
    orbitals, pairs = closed.mo_coeff, int(np.count_nonzero(closed.mo_occ))
    down = orbitals[:, :pairs]
    up = down.copy()
    if pairs < orbitals.shape[1]:
        up[:, -1] = (orbitals[:, pairs - 1] + orbitals[:, pairs]) / np.sqrt(2)
    return np.array([up @ up.T, down @ down.T])


def _keeps_pairs(closed) -> bool:
    """Return whether no unpairing lowers the energy of a restricted solution.

    Where one does, triplets come first: its own stability, which takes eight times as long, is not asked.
    """
    *_, stable = _coarse(closed).stability(internal=False, external=True, return_status=True)
    return stable


def _coarse(solution):
    """Return the solution on a coarse grid, which is enough to see whether it is stable."""
    coarse = solution.copy()
    coarse.grids = dft.gen_grid.Grids(solution.mol)
    coarse.grids.level = COARSE_GRID
    coarse.kernel(dm0=solution.make_rdm1())
    return coarse


def _stable(solution):
    """Follow a solution that is not stable to a lower one."""
    for _ in range(MAX_DESCENTS):
        orbitals, _, stable, _ = _coarse(solution).stability(return_status=True)
        if stable:
            return solution
        lower = solution.copy()
        lower.kernel(dm0=solution.make_rdm1(orbitals, solution.mo_occ))
        if not lower.converged or lower.e_tot > solution.e_tot - STEEP_HARTREE:
            return solution
        solution = lower
    return solution


def core_potentials(basis: str, symbols: set[str]) -> dict[str, str]:
    """Return the basis's effective core potentials of those elements that have one, as def2 beyond Kr."""
    return {s: basis for s in sorted(symbols) if _loaded(gto.basis.load_ecp, basis, s)}


def has_basis(basis: str, symbol: str) -> bool:
    """Tell whether pyscf knows a basis for an element."""
    return _loaded(gto.basis.load, basis, symbol)


@cache
def _loaded(load: Callable, basis: str, symbol: str) -> bool:
    """Tell whether a table of pyscf has an entry; its advice to install a further package is not shown."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return bool(load(basis, symbol))
        except (KeyError, RuntimeError, gto.basis.BasisNotFoundError):
            return False


def unknown_functional(functional: str) -> str | None:
    """Return why pyscf cannot use a functional, in a few words; None if it can."""
    if not functional:
        return "it has no name"
    try:
        plain, _, dispersion = parse_dft(functional)
        dft.libxc.parse_xc(plain)
    except (KeyError, ValueError, NotImplementedError) as error:
        return " ".join(str(error).strip("'\"").split()).rstrip(".")[:120] or "unknown"
    if dispersion:
        return f"its dispersion {dispersion} is not computed here; give the functional without it"
    return None
