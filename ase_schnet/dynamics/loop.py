"""The loop under every ensemble: step, sample, ask the monitor, write."""

from tqdm import tqdm

from ase_schnet.dynamics.integrators import Integrator
from ase_schnet.dynamics.recorder import Recorder
from ase_schnet.runs.failures import SimulationFailed
from ase_schnet.runs.monitor import StepMonitor
from ase_schnet.runs.record import MDRecord
from ase_schnet.runs.rundir import TRAJECTORY_FILE, RunDirectory


def propagate(
    integrator: Integrator,
    recorder: Recorder,
    n_steps: int,
    directory: RunDirectory | None,
    monitor: StepMonitor | None,
    progress: bool | None,
) -> MDRecord:
    """Run from the start, or from the directory's restart point, until ``n_steps`` are done."""
    restart = None if directory is None else directory.restart
    step = first = 0 if restart is None else restart.step

    def advance() -> None:
        """After a complete step; what may raise comes before anything is written."""
        row = None if step % recorder.every else recorder.sample(step)
        if monitor is not None and step % monitor.every == 0:
            now_K = recorder.temperature_K()
            monitor.check(recorder.atoms, step, step * recorder.timestep_fs, now_K)
        if directory is not None:
            directory.advance(recorder.atoms, integrator.state, step, row, last=step == n_steps)

    bar = tqdm(
        total=n_steps,
        initial=first,
        unit="step",
        disable=None if progress is None else not progress,  # None: off when not on a terminal
    )
    try:
        if monitor is not None:
            monitor.start(recorder.atoms, None if directory is None else directory.path, first)
        if restart is None:
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
            directory.note_failure(recorder.atoms, step, str(failure))
            where = directory.path / TRAJECTORY_FILE
            failure.args = (f"{failure}. The last frame is in {where}",)
        raise
    except KeyboardInterrupt:
        if directory is not None and directory.state is not None:
            directory.state.apply(recorder.atoms)  # not somewhere within a step
        raise
    finally:
        bar.close()
        if directory is not None:
            directory.close()
    return recorder.record()


def _step(integrator: Integrator, step: int, recorder: Recorder) -> None:
    try:
        integrator.step(step)
    except Exception as error:
        raise SimulationFailed(f"{recorder.when(step)}: the calculator failed: {error}") from error
