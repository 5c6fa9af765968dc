"""The loop under every ensemble: step, sample, check that the atoms are sane, write."""

import math
from array import array

import numpy as np
from ase import Atoms
from ase.md.md import MolecularDynamics
from numpy.typing import NDArray
from tqdm import tqdm

from ase_schnet.simulation.record import COLUMNS, UNCERTAINTY_COLUMNS, MDRecord
from ase_schnet.simulation.rundir import TRAJECTORY_FILE, RunDirectory
from ase_schnet.simulation.velocities import temperature

#: A run is stopped as exploded beyond this many times its starting temperature ...
EXPLOSION_FACTOR = 100.0
#: ... where a start colder than this counts as this: strain alone may heat a cold start that much.
EXPLOSION_START_K = 300.0


class SimulationFailed(RuntimeError):
    """The dynamics could not go on: energies or momenta not finite, an explosion, a calculator
    that gave up. The message names the step and the atoms; the last frame has been saved."""


class Recorder:
    """Samples of the atoms in a compact growing table, and the check that they are sane."""

    def __init__(self, atoms: Atoms, settings: dict, n_dof: int):
        self.atoms = atoms
        self.timestep_fs: float = settings["timestep_fs"]
        self.every: int = settings["record_every"]
        self.n_dof = n_dof
        self.values = array("d")
        atoms.get_potential_energy()  # shows what the calculator offers
        has_std = "energy_std" in getattr(atoms.calc, "results", {})
        self.names = COLUMNS + UNCERTAINTY_COLUMNS if has_std else COLUMNS

    def sample(self, step: int) -> tuple[float, ...] | None:
        """Check that the dynamics is alive; return (and keep) the row of ``step`` if it is due."""
        kinetic = float(self.atoms.get_kinetic_energy())
        now_K = temperature(kinetic, self.n_dof)
        self._check_alive(step, now_K)
        if step % self.every:
            return None
        potential = float(self.atoms.get_potential_energy())
        if not math.isfinite(potential):
            raise SimulationFailed(f"{self.when(step)}: the potential energy is {potential}")
        row = (step * self.timestep_fs, potential, kinetic, potential + kinetic, now_K)
        if len(self.names) > len(COLUMNS):
            results = self.atoms.calc.results
            forces_std = results.get("forces_std", math.nan)
            row += (float(results["energy_std"]), float(np.max(forces_std)))
        self.values.extend(row)
        return row

    def summary(self, n_steps: int, elapsed_s: float) -> str:
        """Temperature, deviation of the total energy from its start, and speed, for a glance."""
        width = len(self.names)
        now_K, drift_eV = self.values[4 - width], self.values[3 - width] - self.values[3]
        ps_per_day = n_steps * self.timestep_fs / 1000 * 86400 / elapsed_s
        return (
            f"{now_K:.0f} K, E {1000 * drift_eV / len(self.atoms):+.3f} meV/atom, "
            f"{ps_per_day:.0f} ps/day"
        )

    def record(self) -> MDRecord:
        rows = np.array(self.values).reshape(-1, len(self.names))
        known = {"timestep_fs": self.timestep_fs, "n_degrees_of_freedom": self.n_dof}
        return MDRecord.from_rows(self.names, rows, n_atoms=len(self.atoms), **known)

    def when(self, step: int) -> str:
        return f"step {step} ({step * self.timestep_fs / 1000:g} ps)"

    def _check_alive(self, step: int, now_K: float) -> None:
        momenta = self.atoms.get_momenta()  # (N, 3)
        if not np.isfinite(momenta).all():
            lost = np.flatnonzero(~np.isfinite(momenta).all(axis=1))
            raise SimulationFailed(
                f"{self.when(step)}: forces or momenta are not finite on {self._name(lost)}"
            )
        if not self.values:
            return
        start_K = self.values[4]
        if now_K > EXPLOSION_FACTOR * max(start_K, EXPLOSION_START_K):
            kinetic = (momenta**2).sum(axis=1) / self.atoms.get_masses()  # (N,) twice E_kin
            raise SimulationFailed(
                f"{self.when(step)}: exploded, {now_K:.0f} K after a start at {start_K:.0f} K; "
                f"the fastest atoms are {self._name(np.argsort(-kinetic))}"
            )

    def _name(self, indices: NDArray) -> str:
        """Name up to five atoms, "O2, H8"."""
        names = [f"{self.atoms.symbols[i]}{i}" for i in indices[:5]]
        return ", ".join(names) + (", ..." if len(indices) > 5 else "")


def propagate(
    dynamics: MolecularDynamics,
    recorder: Recorder,
    n_steps: int,
    directory: RunDirectory | None,
    progress: bool | None,
) -> MDRecord:
    """Run from the start, or from the directory's restart point, until ``n_steps`` are done."""
    atoms = dynamics.atoms
    restart = None if directory is None else directory.restart
    step = first = 0 if restart is None else restart.step

    def advance() -> None:
        row = recorder.sample(step)
        if directory is not None:
            directory.advance(atoms, step, row)

    bar = tqdm(
        total=n_steps,
        initial=first,
        unit="step",
        disable=None if progress is None else not progress,  # None: off when not on a terminal
    )
    try:
        forces = atoms.get_forces(md=True)
        if restart is None:
            advance()
        for step in range(first + 1, n_steps + 1):
            forces = _step(dynamics, forces, recorder.when(step))
            advance()
            if bar.update() or (step == n_steps and not bar.disable):
                speed = recorder.summary(step - first, bar.format_dict["elapsed"])
                bar.set_postfix_str(speed, refresh=False)
    except SimulationFailed as failure:
        if directory is None:
            raise
        directory.write_frame(atoms, step)
        where = directory.path / TRAJECTORY_FILE
        raise SimulationFailed(f"{failure}. The last frame is in {where}") from failure.__cause__
    except KeyboardInterrupt:
        if directory is not None and directory.state is not None:
            directory.state.apply(atoms)  # not somewhere within a step
        raise
    finally:
        bar.close()
        if directory is not None:
            directory.close()
    return recorder.record()


def _step(dynamics: MolecularDynamics, forces: NDArray, when: str) -> NDArray:
    try:
        return dynamics.step(forces)
    except Exception as error:
        raise SimulationFailed(f"{when}: the calculator failed: {error}") from error
