"""Let LAMMPS take the steps of a run, from the atoms it is filled with to the frames it is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ase_schnet.inference.options import EngineOptions
from ase_schnet.lammps import fixes
from ase_schnet.lammps.box import Box, Frame
from ase_schnet.lammps.mpi import Refusal, by_the_first
from ase_schnet.lammps.options import Execution
from ase_schnet.lammps.potential import SKIN, LammpsPotential, attach, cell_of
from ase_schnet.lammps.restart import Begin, quoted
from ase_schnet.modelfile import TrainedModel
from ase_schnet.runs.failures import SimulationFailed

#: Atoms are handed over so that no process has this much more than the mean, looked at every so many steps.
IMBALANCE, STEPS_BETWEEN_BALANCES = 1.05, 1000

NEVER = 10**9  # a step that no run comes to


class Steps:
    """Take the steps of one run, all processes together.

    Parameters
    ----------
    potential
        Of a LAMMPS instance that is ready to go on.
    box
        Of the structure.
    step
        The last that is complete.

    Attributes
    ----------
    step
        The last that is complete.
    """

    def __init__(self, potential: LammpsPotential, box: Box, step: int):
        self.potential, self.box, self.step = potential, box, step

    def take(self, n: int, state: Path | None) -> Path | None:
        """Take ``n`` steps; SimulationFailed if the potential refuses one.

        Where there is a path ``state``, LAMMPS's restart file of the last of them is written beside it, and
        its path returned. It is LAMMPS's `restart` that writes it, within the run: its `write_restart`,
        between two runs, hands atoms over without their forces, and the next step would be wrong.
        """
        lmp, end = self.potential.lmp, self.step + n
        if state is not None:
            lmp.command(f"restart {end} {quoted(f'{state}.*')}")
        try:
            self.potential.command(f"run {n} pre no post no")
        except Refusal as error:
            raise SimulationFailed(str(error)) from error
        self.step = end
        if state is None:
            return None
        lmp.command("restart 0")
        return state.with_name(f"{state.name}.{end}")

    def frame(self) -> Frame | None:
        """Return the frame of the last step in the first process; None in the others.

        None in all of them where LAMMPS has not completed its step, because the potential failed.
        """
        potential = self.potential
        if potential.failure is not None:
            return None
        cell = cell_of(potential.lmp)[0]
        return self.box.gather(potential.lmp, potential.comm, potential.answer, cell)


def begin_steps(
    lmp: Any, model: TrainedModel, box: Box, settings: dict, begin: Begin, execution: Execution
) -> Steps:
    """Fill LAMMPS with atoms, forces and an integrator, and evaluate once."""
    if begin.state is None:
        box.create(lmp)
    else:
        lmp.command(f"read_restart {quoted(begin.state)}")
        by_the_first(lmp.get_mpi_comm(), begin.state.unlink)
    potential = _attach(lmp, model, box, execution.engine)
    lmp.commands_list(fixes.commands(settings, settings["seed"]))
    if execution.balance:
        shift = f"{IMBALANCE} shift xyz 20 {IMBALANCE}"
        lmp.command(f"balance {shift}")
        lmp.command(f"fix balance all balance {STEPS_BETWEEN_BALANCES} {shift}")
    timestep_ps = settings["timestep_fs"] / 1000
    lmp.commands_list([f"timestep {timestep_ps:.17g}", "thermo_style custom step"])
    # a restart that is due while LAMMPS is set up makes it renew box and domains before any is written;
    # without that, atoms that have left the box in a direction that is not periodic could not be read
    lmp.command(f"restart {NEVER} never.*")
    potential.command("run 0 post no")
    lmp.command("restart 0")
    return Steps(potential, box, begin.step)


def _attach(lmp: Any, model: TrainedModel, box: Box, engine: EngineOptions) -> LammpsPotential:
    potential = attach(
        lmp,
        model,
        box.elements,
        dtype=engine.dtype,
        threads=engine.threads,
        skin=SKIN if engine.skin is None else engine.skin,
        repulsion=engine.repulsion,
    )
    potential.axes = box.axes
    return potential
