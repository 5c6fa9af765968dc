"""Run molecular dynamics by LAMMPS, on many processes, recorded as :mod:`~ase_schnet.dynamics` records it.

``ase-schnet drift``, the plots and the spectra do not notice the difference.
"""

from __future__ import annotations

import contextlib
import hashlib
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal, Unpack

from ase import Atoms

from ase_schnet.applicability.model import require_finite, require_supported
from ase_schnet.degrees_of_freedom import degrees_of_freedom
from ase_schnet.dynamics.arguments import (
    START_TEMPERATURE_K,
    require_motion,
    require_three_periods,
    warn_of_coarse_steps,
)
from ase_schnet.inference.options import EngineOptions
from ase_schnet.lammps import fixes, mpi, restart
from ase_schnet.lammps.box import Box
from ase_schnet.lammps.files import RunFiles
from ase_schnet.lammps.loop import Run, propagate
from ase_schnet.lammps.monitor import MONITORS, RunMonitor
from ase_schnet.lammps.options import Execution, LammpsKeywords, LammpsOptions
from ase_schnet.lammps.potential import new_lammps
from ase_schnet.lammps.recorder import Recorder
from ase_schnet.lammps.restart import Begin
from ase_schnet.lammps.steps import begin_steps
from ase_schnet.modelfile import load_model
from ase_schnet.runs.options import refuse_unknown, takes
from ase_schnet.runs.record import MDRecord


@takes(LammpsOptions)
def run_lammps(
    atoms: Atoms,
    model: str | Path,
    run_dir: str | Path,
    *,
    ensemble: Literal["nve", "nvt", "npt"] = "nve",
    temperature_K: float | None = START_TEMPERATURE_K,
    monitor: Literal["stop", "warn", "off"] = "stop",
    balance: bool = False,
    engine: EngineOptions | dict | None = None,
    **options: Unpack[LammpsKeywords],
) -> MDRecord:
    """Run dynamics under LAMMPS in all processes of ``mpiexec``, and return the record in each of them.

    Parameters
    ----------
    atoms
        Periodic structure; moved in place, to the last frame, in the first process.
    model
        Name of a shipped model or path of a model directory.
    run_dir
        As in :func:`~ase_schnet.dynamics.md.run_nve`. A kill costs at most some seconds. What follows a
        resume is what would have been, up to rounding, since LAMMPS sums in another order; "bussi" goes on
        with other random numbers.
    ensemble
        "nve"; "nvt" with thermostat ("bussi" or "nose-hoover") and time_constant_fs; "npt" with these of
        "nose-hoover", pressure_GPa, pressure_time_constant_fs and full_cell.
    temperature_K
        Of the start velocities, those that ``run_nve`` draws of the same seed, and of the thermostat.
    monitor
        What to do where the standard deviation of a force leaves its limit, or a distance what training has
        seen: "stop", "warn" once for each, or "off".
    balance
        Move the borders between processes so that all have about as many atoms; for slabs and pores.
    engine
        :class:`~ase_schnet.inference.options.EngineOptions`, or a dictionary of its fields but ``device``.
    **options
        Fields of :class:`~ase_schnet.lammps.options.LammpsOptions`.

    Raises
    ------
    ValueError, InputError
        For arguments, structures and directories that make no run.
    LammpsUnavailable
        If LAMMPS or MPI is missing.
    SimulationFailed
        If the run explodes, or (SimulationStopped) the monitor stops it.
    ProcessFailed
        If another process failed alone.
    """
    comm = mpi.load().MPI.COMM_WORLD
    with mpi.together(comm):
        if monitor not in MONITORS:
            raise ValueError(f"monitor is one of {', '.join(MONITORS)}, not {monitor!r}")
        refuse_unknown("run_lammps", options, LammpsOptions)
        asked = LammpsOptions(**options)
        physics = fixes.physics_of(ensemble, temperature_K, asked)
        execution = Execution(EngineOptions.of(engine), monitor, balance)
        return _run(comm, atoms, model, run_dir, physics, asked, execution)


def _run(
    comm: Any,
    atoms: Atoms,
    model: str | Path,
    run_dir: str | Path,
    physics: dict,
    asked: LammpsOptions,
    execution: Execution,
) -> MDRecord:
    """Check structure, model and directory, and run to the end."""
    settings, trained = physics | asked.settings(), load_model(model)
    trained.require_whole()
    require_supported(trained, atoms)
    require_finite(atoms)
    box = Box(atoms, triclinic=settings.get("full_cell", False))
    if settings["ensemble"] == "npt":
        require_three_periods(atoms)
    if settings["ensemble"] != "nve":
        require_motion(degrees_of_freedom(atoms), "take a larger cell")
    if comm.rank == 0:
        warn_of_coarse_steps(atoms, asked.timestep_fs, stacklevel=4)
    info = {"model": str(model), "processes": comm.size} | restart.checksums(trained)
    engine = asdict(execution.engine)
    info |= {name: value for name, value in engine.items() if name != "device"}
    mpi.require_alike(comm, _asked_for(atoms, settings, asked, info, execution))
    with contextlib.ExitStack() as last:
        files = last.enter_context(RunFiles(comm, box, run_dir, settings, asked))
        begin = files.begin(info, asked.n_steps) or Begin.at_step_0(box, settings)
        lmp = new_lammps()
        last.callback(lmp.close)
        last.callback(files.close)
        steps = begin_steps(lmp, trained, box, settings, begin, execution)
        recorder = Recorder(steps.potential, box, settings, begin.momentum)
        files.open(recorder, info, _time_ps(asked))
        monitor = RunMonitor(execution.monitor, trained)
        run = Run(comm, steps, recorder, monitor, files, settings, asked.n_steps)
        return propagate(run, asked.progress)


def _asked_for(
    atoms: Atoms, settings: dict, asked: LammpsOptions, info: dict, execution: Execution
) -> dict[str, object]:
    """Return what all processes must have been given alike, by its name; threads and paths may differ."""
    structure = hashlib.sha256(atoms.numbers.tobytes() + atoms.pbc.tobytes())
    for array in (atoms.positions, atoms.cell.array, atoms.get_momenta(), atoms.get_masses()):
        structure.update(array.tobytes())
    return {
        "structure": structure.hexdigest(),
        "model": info["sha256"],
        "time_ps": _time_ps(asked),
        "resume": asked.resume,
        "monitor": execution.monitor,
        "balance": execution.balance,
        **settings,
        **{name: info[name] for name in ("dtype", "repulsion", "skin")},
    }


def _time_ps(asked: LammpsOptions) -> float:
    """Return the length of a run in whole steps."""
    return asked.n_steps * asked.timestep_fs / 1000
