"""Couple ASE's barostat to a Nosé-Hoover chain with the right degrees of freedom."""

from ase import Atoms, units
from ase.calculators.calculator import PropertyNotImplementedError
from ase.md.nose_hoover_chain import MTKNPT, IsotropicMTKNPT
from numpy.random import Generator

from ase_schnet.dynamics.arguments import require_three_periods
from ase_schnet.dynamics.thermostats import Chains


class MTKIsothermalIsobaric(Chains):
    """Keep the pressure, isotropically: Martyna, Tobias & Klein, J. Chem. Phys. 101, 4177 (1994)."""

    state_names = (
        *("_thermostat._eta", "_thermostat._p_eta", "_barostat._xi", "_barostat._p_xi"),
        *("_eps", "_p_eps", "_cell0", "_volume0"),
    )
    _kind = IsotropicMTKNPT

    def __init__(
        self,
        atoms: Atoms,
        timestep_fs: float,
        n_dof: int,
        rng: Generator,
        *,
        temperature_K: float,
        pressure_GPa: float,
        time_constant_fs: float,
        pressure_time_constant_fs: float,
    ):
        chain = {"temperature_K": temperature_K, "tdamp": time_constant_fs * units.fs}
        dynamics = self._kind(
            atoms,
            timestep_fs * units.fs,
            pressure_au=pressure_GPa * units.GPa,
            pdamp=pressure_time_constant_fs * units.fs,
            **chain,
        )
        super().__init__(dynamics, n_dof, **chain)
        dynamics._num_atoms_global = n_dof / 3  # in the coupling of volume and momenta

    @classmethod
    def check(cls, atoms: Atoms) -> None:
        """Refuse what has no volume, no stress, or constraints; ValueError."""
        require_three_periods(atoms)
        if atoms.constraints:
            raise ValueError("constant pressure does not go with constraints: remove them")
        try:
            atoms.get_stress()
        except (PropertyNotImplementedError, NotImplementedError):
            raise ValueError(
                f"constant pressure needs a stress, which {type(atoms.calc).__name__} does not have: "
                "use run_nvt, or a calculator with stress"
            ) from None

    def conserved_energy(self, total_eV: float) -> float:
        """Return the total energy and that of chain, barostat and volume, eV.

        ASE's ``get_conserved_energy`` is the same sum, but asks the calculator once more.
        """
        barostat, volume = self.dynamics._barostat, self.dynamics._get_volume()
        energy = barostat.get_barostat_energy() + self.dynamics._pressure_au * volume
        return super().conserved_energy(total_eV) + float(energy + self._cell_kinetic_energy())

    def _cell_kinetic_energy(self) -> float:
        return self.dynamics._p_eps**2 / (2 * self.dynamics._barostat.W)


class MTKFullCell(MTKIsothermalIsobaric):
    """Keep the pressure with all six strains of the cell."""

    state_names = (*MTKIsothermalIsobaric.state_names[:4], "_p_g", "_h")
    _kind = MTKNPT

    def _cell_kinetic_energy(self) -> float:
        return self.dynamics._get_cell_kinetic_energy()
