"""Measure a step of a LAMMPS run: the columns of :mod:`~ase_schnet.runs.record`, over all processes."""

from __future__ import annotations

import numpy as np
from ase import units

from ase_schnet.degrees_of_freedom import degrees_of_freedom, temperature
from ase_schnet.lammps.box import PER_PS, Box
from ase_schnet.lammps.potential import LammpsPotential, cell_of
from ase_schnet.runs.explosion import explosion, has_exploded, require_finite_energy, when
from ase_schnet.runs.record import TEMPERATURE, MDRecord, columns


class Recorder:
    """Take the samples of one run, the same in all processes.

    Parameters
    ----------
    potential
        Of the LAMMPS instance, which has evaluated a step.
    box
        Of the structure.
    settings
        Of the run.
    begin
        (3,), momentum of the whole at step 0, as `Box.total_momentum`; later ones are compared with it.

    Attributes
    ----------
    n_dof
        Degrees of freedom that carry thermal energy.
    names
        Columns of the log, C.
    rows
        Samples so far, C numbers each.
    """

    def __init__(
        self,
        potential: LammpsPotential,
        box: Box,
        settings: dict,
        begin: np.ndarray,
    ):
        self._potential, self._lmp = potential, potential.lmp
        self._box, self._begin, self._settings = box, begin, settings
        self.n_dof = degrees_of_freedom(box.atoms)
        self._timestep_fs: float = settings["timestep_fs"]
        self._coupled, self._varies = settings["ensemble"] != "nve", settings["ensemble"] == "npt"
        self._std = potential.engine.model.n_members > 1
        self._masses = self._lmp.numpy.extract_atom("mass").copy()  # by type
        self.names = columns(
            pressure=True,
            volume=self._varies,
            overall=["translation_gained_eV"],
            std=self._std,
        )
        self.rows: list[list[float]] = []

    def sample(self, step: int) -> list[float]:
        """Keep and return the row of ``step``; SimulationExploded where going on makes no sense."""
        answer = self._potential.answer
        kinetic, gained = self._kinetic()
        now_K = temperature(kinetic, self.n_dof)
        self._check_alive(step, now_K, answer.energy)
        total = answer.energy + kinetic
        conserved = total + (self._lmp.get_thermo("ecouple") if self._coupled else 0.0)
        volume = abs(float(np.linalg.det(self._box.cell_to_ase(cell_of(self._lmp)[0]))))
        pressure = (np.trace(answer.virial) + 2 * kinetic) / (3 * volume * units.GPa)
        row = [step * self._timestep_fs, answer.energy, kinetic, total, conserved, now_K]
        row += [float(pressure), *([volume] if self._varies else []), gained]
        row += [answer.energy_std, answer.max_forces_std] if self._std else []
        self.rows.append(row)
        return row

    def record(self, failure: str | None = None) -> MDRecord:
        """Return what was measured so far."""
        rows = np.array(self.rows).reshape(-1, len(self.names))
        known = {"n_atoms": len(self._box.atoms), "n_degrees_of_freedom": self.n_dof}
        return MDRecord.from_rows(self.names, rows, self._settings, failure=failure, **known)

    def _kinetic(self) -> tuple[float, float]:
        """Return the kinetic energy of the atoms, and |ΔP|² / 2M of the momentum of the whole, in eV."""
        n, sums = self._lmp.extract_global("nlocal"), np.zeros(5)
        if n:
            masses = self._masses[self._lmp.numpy.extract_atom("type", nelem=n)]
            velocities = self._lmp.numpy.extract_atom("v", nelem=n, dim=3) / PER_PS
            sums[0] = 0.5 * masses @ (velocities**2).sum(axis=1)
            sums[1:4], sums[4] = masses @ velocities, masses.sum()
        kinetic, *momentum, mass = self._potential.comm.allreduce(sums).tolist()
        change = np.subtract(momentum, self._begin)
        return kinetic, float(change @ change) / (2 * mass)

    def _check_alive(self, step: int, now_K: float, energy_eV: float) -> None:
        now = when(step, step * self._timestep_fs)
        require_finite_energy(now, energy_eV)
        start_K = self.rows[0][TEMPERATURE] if self.rows else None
        if has_exploded(now_K, start_K):
            raise explosion(now, now_K, start_K, self._timestep_fs)
