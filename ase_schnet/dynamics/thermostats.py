"""Give ASE's thermostats the right degrees of freedom and a conserved quantity."""

import warnings

import numpy as np
from ase import Atoms, units
from ase.md.bussi import Bussi
from ase.md.langevinbaoab import LangevinBAOAB
from ase.md.md import MolecularDynamics
from ase.md.nose_hoover_chain import NoseHooverChainNVT, NoseHooverChainThermostat
from numpy.random import Generator
from numpy.typing import NDArray

from ase_schnet.degrees_of_freedom import degrees_of_freedom
from ase_schnet.dynamics.integrators import Integrator, Rescaling
from ase_schnet.dynamics.velocities import draw_momenta

#: With fewer degrees of freedom a Nosé-Hoover chain warns: eight atoms of silicon (21) had 1.4 times the
#: canonical variance of the temperature.
FEW_DEGREES_OF_FREEDOM = 60


class BussiNVT(Rescaling):
    """Rescale stochastically: Bussi, Donadio & Parrinello, J. Chem. Phys. 126, 014101 (2007)."""

    obeys_all_constraints = True
    follows_ramps = True
    given_name = "transferred_energy"
    state_names = (given_name,)
    compiled = "bussi"

    def __init__(
        self,
        atoms: Atoms,
        timestep_fs: float,
        n_dof: int,
        rng: Generator,
        *,
        temperature_K: float,
        time_constant_fs: float,
    ):
        time_constant = time_constant_fs * units.fs
        super().__init__(
            Bussi(atoms, timestep_fs * units.fs, temperature_K, time_constant, rng), n_dof, rng
        )
        self.dynamics.ndof = n_dof
        self.aim_at(temperature_K)

    def aim_at(self, temperature_K: float) -> None:
        """Aim at another temperature, K, from here on."""
        self.dynamics.target_kinetic_energy = 0.5 * self.n_dof * (units.kB * temperature_K)

    @property
    def damping(self) -> float:
        """What a step leaves of the kinetic energy."""
        return self.dynamics._exp_term

    @property
    def target(self) -> float:
        """Kinetic energy that it aims at, eV."""
        return self.dynamics.target_kinetic_energy

    def draw_noise(self) -> NDArray:
        """Return the random numbers (2,) of one step, as ASE draws them: R₁ and Σ R² of eq. A7."""
        normal = self.rng.standard_normal()
        return np.array([normal, 2.0 * self.rng.standard_gamma(0.5 * (self.n_dof - 1))])


class _HeatCountingBAOAB(LangevinBAOAB):
    """Add up the energy that friction and noise give to the atoms in ASE's BAOAB."""

    heat = 0.0  # eV

    def _BAOAB_OU(self, drag_gamma_mod=0.0):
        before = self.atoms.get_kinetic_energy()
        super()._BAOAB_OU(drag_gamma_mod)
        self.heat += self.atoms.get_kinetic_energy() - before


class LangevinNVT(Integrator):
    """Do Langevin dynamics by BAOAB: Leimkuhler & Matthews, J. Chem. Phys. 138, 174102 (2013).

    Friction and noise act on every atom. So overall motion is thermal as well: the run starts with it and
    counts its degrees of freedom.
    """

    conserves_momentum = False
    follows_ramps = True
    given_name = "heat"
    state_names = (given_name,)
    compiled = "baoab"

    def __init__(
        self,
        atoms: Atoms,
        timestep_fs: float,
        n_dof: int,
        rng: Generator,
        *,
        temperature_K: float,
        time_constant_fs: float,
    ):
        dynamics = _HeatCountingBAOAB(
            atoms,
            timestep_fs * units.fs,
            temperature_K=temperature_K,
            T_tau=time_constant_fs * units.fs,
            hydrostatic=True,  # a scalar friction; else ASE exponentiates a matrix each step
            rng=rng,
        )
        super().__init__(dynamics, n_dof, rng)

    @classmethod
    def count_degrees_of_freedom(cls, atoms: Atoms) -> int:
        """Count those that carry thermal energy, overall motion included."""
        return int(atoms.get_number_of_degrees_of_freedom())

    @classmethod
    def draw(cls, atoms: Atoms, temperature_K: float, seed: int) -> None:
        """Draw the momenta to start with, overall motion included."""
        draw_momenta(atoms, temperature_K, seed)

    def aim_at(self, temperature_K: float) -> None:
        """Aim at another temperature, K, from here on."""
        self.dynamics.set_temperature(temperature_K)

    @property
    def damping(self) -> float:
        """What a step leaves of the velocities."""
        return float(np.exp(-(self.dynamics.gamma + 0.0) * self.dynamics.dt))

    @property
    def target(self) -> float:
        """Amplitude of the noise, of a unit mass."""
        return self.dynamics.BAOAB_prefactor

    def has_moved(self) -> None:
        """Take note that somebody else has moved the atoms."""
        self.dynamics._update_accel()

    def draw_noise(self) -> NDArray:
        """Return the random numbers (3N,) of one step, as ASE draws them."""
        return self.rng.normal(size=3 * len(self.atoms))


class Chains(Rescaling):
    """Run Nosé-Hoover chains with ASE's variables and the right degrees of freedom."""

    def __init__(self, dynamics: MolecularDynamics, n_dof: int, **thermostat):
        super().__init__(dynamics, n_dof)
        # ASE writes 3 N for the degrees of freedom throughout.
        dynamics._thermostat = NoseHooverChainThermostat(
            num_atoms_global=n_dof / 3, masses=dynamics.masses, **thermostat
        )

    def remove_rounding(self) -> None:
        """Remove the overall motion that rounding has made."""
        super().remove_rounding()
        self.dynamics._p = self.atoms.get_momenta()  # ASE keeps its own copy

    def conserved_energy(self, total_eV: float) -> float:
        """Return the total energy and that of the chain, eV."""
        return total_eV + self.dynamics._thermostat.get_thermostat_energy()


class NoseHooverNVT(Chains):
    """Run a Nosé-Hoover chain: Martyna, Klein & Tuckerman, J. Chem. Phys. 97, 2635 (1992)."""

    state_names = ("_thermostat._eta", "_thermostat._p_eta")

    def __init__(
        self,
        atoms: Atoms,
        timestep_fs: float,
        n_dof: int,
        rng: Generator,
        *,
        temperature_K: float,
        time_constant_fs: float,
    ):
        chain = {"temperature_K": temperature_K, "tdamp": time_constant_fs * units.fs}
        dynamics = NoseHooverChainNVT(atoms, timestep_fs * units.fs, **chain)
        super().__init__(dynamics, n_dof, **chain)

    @classmethod
    def check(cls, atoms: Atoms) -> None:
        """Refuse a single molecule; warn of few degrees of freedom."""
        super().check(atoms)
        if not atoms.pbc.any() and not atoms.constraints:
            raise ValueError(
                "a Nosé-Hoover chain does not sample the canonical ensemble of a single molecule, "
                "whose stiff vibrations it does not mix: use thermostat='bussi' or thermostat='langevin'"
            )
        if degrees_of_freedom(atoms) < FEW_DEGREES_OF_FREEDOM:
            warnings.warn(
                "a Nosé-Hoover chain mixes the vibrations of so few atoms slowly, and the spread of "
                "the temperature may be wrong: thermostat='bussi' does not have this trouble",
                stacklevel=5,
            )


THERMOSTATS = {"bussi": BussiNVT, "langevin": LangevinNVT, "nose-hoover": NoseHooverNVT}
