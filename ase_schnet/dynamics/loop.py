"""Move the atoms step by step: the loop under every ensemble, which samples, asks the monitor, writes."""

from pathlib import Path

from ase import Atoms
from tqdm import tqdm

from ase_schnet.dynamics.integrators import Integrator
from ase_schnet.dynamics.recorder import Recorder
from ase_schnet.runs.failures import SimulationFailed
from ase_schnet.runs.monitor import StepMonitor
from ase_schnet.runs.record import MDRecord
from ase_schnet.runs.restart import State
from ase_schnet.runs.rundir import TRAJECTORY_FILE, FrameData, RunDirectory

#: An interrupt costs at most so many steps.
STEPS_BETWEEN_STATES = 10


def propagate(
    integrator: Integrator,
    recorder: Recorder,
    n_steps: int,
    directory: RunDirectory | None,
    monitor: StepMonitor | None,
    progress: bool | None,
) -> MDRecord:
    """Run from the start, or from the directory's restart point, until ``n_steps`` are done."""
    begin = None if directory is None else directory.begin
    step = first = 0 if begin is None else begin.step
    bar = tqdm(
        total=n_steps,
        initial=first,
        unit="step",
        disable=None if progress is None else not progress,  # None: off when not on a terminal
    )

    def advance() -> None:
        """Sample, look and write after a complete step; what may raise comes before anything is written."""
        row = None if step % recorder.every else recorder.sample(step)
        if monitor is not None and step % monitor.every == 0:
            now_K = recorder.temperature_K()
            monitor.check(recorder.atoms, step, step * recorder.timestep_fs, now_K)
        if directory is not None:
            _write(directory, integrator, step, row, last=step == n_steps)

    try:
        if monitor is not None:
            monitor.start(recorder.atoms, None if directory is None else directory.path, first)
        if begin is None:
            advance()
        for step in range(first + 1, n_steps + 1):
            _step(integrator, step, recorder)
            advance()
            if bar.update() or (step == n_steps and not bar.disable):
                speed = recorder.summary(step - first, bar.format_dict["elapsed"])
                bar.set_postfix_str(speed, refresh=False)
    except SimulationFailed as failure:
        failure.record = recorder.record(str(failure))
        if directory is not None:
            # the calculator may not be able to say more of this frame than it has said
            directory.fail(str(failure), _frame(recorder.atoms), step)
            where: Path = directory.path / TRAJECTORY_FILE
            failure.args = (f"{failure}. The last frame is in {where}",)
        raise
    except KeyboardInterrupt:
        if directory is not None and directory.kept is not None:
            directory.kept.apply(recorder.atoms)  # not somewhere within a step
        raise
    finally:
        bar.close()
    return recorder.record()


def _step(integrator: Integrator, step: int, recorder: Recorder) -> None:
    try:
        integrator.step(step)
    except Exception as error:
        raise SimulationFailed(f"{recorder.when(step)}: the calculator failed: {error}") from error


def _write(
    directory: RunDirectory,
    integrator: Integrator,
    step: int,
    row: list[float] | None,
    *,
    last: bool,
) -> None:
    """Write what is due after a complete step."""
    if row is not None:
        directory.write_sample(row)
    atoms = integrator.atoms
    if step % directory.settings["trajectory_every"] == 0:
        for name in getattr(atoms.calc, "on_request", ()):  # what only frames are worth
            atoms.calc.get_property(name, atoms)
        directory.write_frame(_frame(atoms), step)
    if step % STEPS_BETWEEN_STATES == 0 or last:
        directory.checkpoint(State.of(atoms, step, integrator.state()))


def _frame(atoms: Atoms) -> FrameData:
    return FrameData(atoms, getattr(atoms.calc, "results", {}))
