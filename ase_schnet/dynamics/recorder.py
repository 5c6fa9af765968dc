"""Measure a step, and check that the run has not exploded."""

from array import array
from typing import Protocol

import numpy as np
from ase import Atoms, units
from numpy.typing import NDArray

from ase_schnet.degrees_of_freedom import anchored, temperature
from ase_schnet.dynamics.integrators import Integrator
from ase_schnet.runs.explosion import explosion, has_exploded, limit_K, require_finite_energy, when
from ase_schnet.runs.failures import SimulationExploded
from ase_schnet.runs.record import CONSERVED, TEMPERATURE, MDRecord, columns

#: Overall motion is looked at in every tenth sample: it costs as much as all else in a sample.
SAMPLES_BETWEEN_LOOKS = 10


class Measured(Protocol):
    """Hold what was measured at S steps of N atoms, by M members: see `compiled.Samples`."""

    positions: NDArray
    momenta: NDArray
    energies: NDArray
    forces_std: NDArray
    virial: NDArray
    heat: NDArray


class Recorder:
    """Take samples of the atoms into a compact table, and check that the run has not exploded.

    Parameters
    ----------
    integrator
        Of the atoms, which are in the state the run begins or goes on with.
    settings
        Of the run.
    begin
        The atoms at step 0; their momenta are what later ones are compared with.
    """

    def __init__(self, integrator: Integrator, settings: dict, begin: Atoms):
        self.atoms = atoms = integrator.atoms
        self.integrator = integrator
        self.settings = settings
        self.timestep_fs: float = settings["timestep_fs"]
        self.every: int = settings["record_every"]
        self.values = array("d")
        self.masses = atoms.get_masses()  # (N,)
        self._half_inverse_masses = np.repeat(0.5 / self.masses, 3)  # (3N,)
        atoms.get_potential_energy()
        atoms.get_forces()  # show what the calculator offers
        results = getattr(atoms.calc, "results", {})
        varies = settings["ensemble"] == "npt"
        # Where the forces do not bring the stress along it would cost a second evaluation.
        self._stress = varies or (results.get("stress") is not None and atoms.cell.rank == 3)
        self._overall = _OverallMotion(begin) if _moves_as_a_whole(integrator) else None
        self._std = "energy_std" in results
        self.names = columns(
            pressure=self._stress,
            volume=varies,
            overall=self._overall.names if self._overall else (),
            std=self._std,
        )
        self._varies = varies

    def kinetic_energy(self) -> float:
        """Return the kinetic energy, eV; as ASE does, without its copies: this runs at every step."""
        momenta = self.atoms.arrays["momenta"].ravel()
        return float(np.dot(momenta * momenta, self._half_inverse_masses))

    def temperature_K(self) -> float:
        """Return the kinetic temperature, K."""
        return temperature(self.kinetic_energy(), self.integrator.n_dof)

    def sample(self, step: int) -> list[float]:
        """Keep and return the row of ``step``; SimulationExploded where going on makes no sense."""
        kinetic = self.kinetic_energy()
        now_K = temperature(kinetic, self.integrator.n_dof)
        self._check_alive(step, now_K)
        potential = float(self.atoms.get_potential_energy())
        require_finite_energy(self.when(step), potential)
        total = potential + kinetic
        conserved = float(self.integrator.conserved_energy(total))
        row = [step * self.timestep_fs, potential, kinetic, total, conserved, now_K]
        if self._stress:
            row.append(self._pressure_GPa(kinetic))
        if self._varies:
            row.append(float(self.atoms.cell.volume))
        if self._overall is not None:
            row += self._gained_eV(step, self.atoms.positions, self.atoms.arrays["momenta"])
        if self._std:
            results = self.atoms.calc.results
            row += (float(results["energy_std"]), float(results["forces_std"].max()))
        self.values.extend(row)
        return row

    def largest_temperature_K(self) -> float:
        """Return the temperature from which on the run has exploded, K."""
        return limit_K(self._start_K())

    def extend(self, step: int, samples: Measured, n: int) -> list[list[float]]:
        """Keep and return the rows of the first ``n`` samples that were taken after ``step``, none odd."""
        steps = self.every * (step // self.every + 1 + np.arange(n))
        momenta = samples.momenta[:n].reshape(n, -1)  # (n, 3N)
        kinetic = (momenta * momenta) @ self._half_inverse_masses
        energies = samples.energies[:n].sum(axis=2)  # (n, M)
        potential = energies.sum(axis=1) / energies.shape[1]
        total = potential + kinetic
        now_K = temperature(1.0, self.integrator.n_dof) * kinetic
        conserved = total - samples.heat[:n]
        measured = [steps * self.timestep_fs, potential, kinetic, total, conserved, now_K]
        if self._stress:
            volume = self.atoms.cell.volume
            measured.append((samples.virial[:n] + 2 * kinetic) / (3 * volume) / units.GPa)
        rows = np.column_stack(measured).tolist()
        stds = (
            np.column_stack([_stds(energies), samples.forces_std[:n]]).tolist() if self._std else []
        )
        for k, row in enumerate(rows):
            if self._overall is not None:
                row += self._gained_eV(int(steps[k]), samples.positions[k], samples.momenta[k])
            if self._std:
                row += stds[k]
            self.values.extend(row)
        return rows

    def summary(self, n_steps: int, elapsed_s: float) -> str:
        """Return temperature, deviation of the conserved energy from its start, and speed, for the bar."""
        last = len(self.values) - len(self.names)
        now_K = self.values[last + TEMPERATURE]
        drift_eV = self.values[last + CONSERVED] - self.values[CONSERVED]
        ps_per_day = n_steps * self.timestep_fs / 1000 * 86400 / elapsed_s
        return (
            f"{now_K:.0f} K, drift {1000 * drift_eV / len(self.atoms):+.3f} meV/atom, "
            f"{ps_per_day:.0f} ps/day"
        )

    def record(self, failure: str | None = None) -> MDRecord:
        """Return what was measured so far."""
        rows = np.array(self.values).reshape(-1, len(self.names))
        known = {"n_atoms": len(self.atoms), "n_degrees_of_freedom": self.integrator.n_dof}
        return MDRecord.from_rows(self.names, rows, self.settings, failure=failure, **known)

    def when(self, step: int) -> str:
        """Return the time of a step for messages."""
        return when(step, step * self.timestep_fs)

    def _pressure_GPa(self, kinetic_eV: float) -> float:
        volume = self.atoms.cell.volume
        virial = -self.atoms.get_stress()[:3].sum() / 3
        return float((virial + 2 * kinetic_eV / (3 * volume)) / units.GPa)

    def _gained_eV(self, step: int, positions: NDArray, momenta: NDArray) -> list[float]:
        """Return the gain of overall motion, which changes slowly; between two looks that of the last row."""
        if step // self.every % SAMPLES_BETWEEN_LOOKS == 0:
            return self._overall.gained_eV(positions, momenta)
        first = self.names.index("translation_gained_eV") - len(self.names)
        return [self.values[first + k] for k in range(len(self._overall.names))]

    def _start_K(self) -> float | None:
        """Return the temperature of the first sample, K; None before it."""
        return self.values[TEMPERATURE] if self.values else None

    def _check_alive(self, step: int, now_K: float) -> None:
        start_K = self._start_K()
        if not has_exploded(now_K, start_K):
            return
        momenta = self.atoms.get_momenta()  # (N, 3)
        lost = np.flatnonzero(~np.isfinite(momenta).all(axis=1))
        if len(lost):
            raise SimulationExploded(
                f"{self.when(step)}: forces or momenta are not finite on {self._name(lost)}"
            )
        kinetic = (momenta**2).sum(axis=1) / self.masses  # (N,) twice E_kin
        who = f"; the fastest atoms are {self._name(np.argsort(-kinetic))}"
        raise explosion(self.when(step), now_K, start_K, self.timestep_fs, who)

    def _name(self, indices: NDArray) -> str:
        """Name up to five atoms, "O2, H8"."""
        names = [f"{self.atoms.symbols[i]}{i}" for i in indices[:5]]
        return ", ".join(names) + (", ..." if len(indices) > 5 else "")


def _stds(energies: NDArray) -> NDArray:
    """Return the sample standard deviation over the members, (n, M) -> (n,)."""
    members = energies.shape[1]
    off = energies - (energies.sum(axis=1) / members)[:, None]
    return np.sqrt((off * off).sum(axis=1) / (members - 1))


def _moves_as_a_whole(integrator: Integrator) -> bool:
    return integrator.conserves_momentum and not anchored(integrator.atoms)


class _OverallMotion:
    """Measure the overall motion that forces between atoms cannot make.

    As energies: |ΔP|² / 2M of the momentum and |ΔL|² / 2I of the angular momentum about the centre
    of mass, I being the mean moment of inertia at the start. Zero up to rounding if the forces sum to
    zero and make no torque.
    """

    def __init__(self, begin: Atoms):
        self.masses = begin.get_masses()  # (N,)
        self.mass = float(self.masses.sum())
        self.rotates = not begin.pbc.any() and len(begin) > 1
        self.names = ["translation_gained_eV"] + ["rotation_gained_eV"] * self.rotates
        offsets = begin.positions - begin.get_center_of_mass()
        self.inertia = 2 / 3 * float(self.masses @ (offsets**2).sum(axis=1))
        self._ones = np.ones(len(begin))
        self.start = self._momenta(begin.positions, begin.get_momenta())

    def gained_eV(self, positions: NDArray, momenta: NDArray) -> list[float]:
        """Return the gain of the momentum and, of a molecule, of the angular momentum."""
        now = self._momenta(positions, momenta)
        x, y, z, *turn = (a - b for a, b in zip(now, self.start, strict=True))
        gained = [(x * x + y * y + z * z) / (2 * self.mass)]
        if turn:
            x, y, z = turn
            gained.append((x * x + y * y + z * z) / (2 * self.inertia))
        return gained

    def _momenta(self, positions: NDArray, momenta: NDArray) -> list[float]:
        """Return P and, if it is conserved, L about the centre of mass: Σ r × p - c × P.

        The cross products are the antisymmetric part of Σ r pᵀ; floats, since numpy is slow on threes.
        """
        px, py, pz = whole = (self._ones @ momenta).tolist()
        if not self.rotates:
            return whole
        cx, cy, cz = (self.masses @ positions / self.mass).tolist()
        (_, xy, xz), (yx, _, yz), (zx, zy, _) = (positions.T @ momenta).tolist()
        return [
            *whole,
            yz - zy - (cy * pz - cz * py),
            zx - xz - (cz * px - cx * pz),
            xy - yx - (cx * py - cy * px),
        ]
