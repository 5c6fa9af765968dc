"""Move the atoms: the loop under every ensemble, which samples, asks the monitor, writes."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from ase import Atoms
from tqdm import tqdm

from ase_schnet.dynamics.integrators import STEPS_BETWEEN_REMOVALS, Integrator
from ase_schnet.dynamics.recorder import Recorder
from ase_schnet.dynamics.steps import steps_of
from ase_schnet.runs.failures import SimulationFailed
from ase_schnet.runs.monitor import StepMonitor
from ase_schnet.runs.record import MDRecord
from ase_schnet.runs.restart import TRAJECTORY_FILE, State
from ase_schnet.runs.rundir import FrameData, RunDirectory
from ase_schnet.runtime.progress import is_hidden

#: An interrupt costs at most so many steps of ASE.
STEPS_BETWEEN_STATES = 10


class Run(NamedTuple):
    """Hold a run in its first state, or where it stopped.

    Attributes
    ----------
    integrator
        Moves the atoms.
    recorder
        Measures them.
    n_steps
        Of the whole run.
    directory
        Open for writing; None: nothing is written.
    monitor
        May stop the run.
    """

    integrator: Integrator
    recorder: Recorder
    n_steps: int
    directory: RunDirectory | None
    monitor: StepMonitor | None

    @property
    def first_step(self) -> int:
        """Return the step from which the run goes on, 0 at its start."""
        begin = None if self.directory is None else self.directory.begin
        return 0 if begin is None else begin.step


def propagate(run: Run, progress: bool | None) -> MDRecord:
    """Do a run to its end, from the start or from the directory's restart point."""
    recorder, first, last = run.recorder, run.first_step, run.n_steps
    with tqdm(total=last, initial=first, unit="step", disable=is_hidden(progress)) as bar:
        done = first
        for step in propagation(run):
            if bar.update(step - done) or (step == last and not bar.disable):
                speed = recorder.summary(step - first, bar.format_dict["elapsed"])
                bar.set_postfix_str(speed, refresh=False)
            done = step
    return recorder.record()


def propagation(run: Run, stops: Sequence[int] = ()) -> Iterator[int]:
    """Do a run sitting by sitting, and give the number of steps that are done after each.

    The multiples of ``stops`` are among them.
    """
    integrator, recorder, n_steps, directory, monitor = run
    begin = None if directory is None else directory.begin
    step = run.first_step

    def look(*, is_seen: bool, rows: list[list[float]]) -> None:
        """Sample, look and write after a complete step; what may raise comes before anything is written."""
        if not is_seen:
            rows = [*rows, *([recorder.sample(step)] if step % recorder.every == 0 else [])]
            if monitor is not None and step % monitor.every == 0:
                now_K = recorder.temperature_K()
                monitor.check(recorder.atoms, step, step * recorder.timestep_fs, now_K)
        if directory is not None:
            _write(directory, integrator, step, rows, last=step == n_steps, most=steps.most)

    try:
        if monitor is not None:
            monitor.start(recorder.atoms, None if directory is None else directory.path, step)
        steps = steps_of(integrator, recorder, monitor)
        if begin is None:
            look(is_seen=False, rows=[])
        while step < n_steps:
            step, rows, is_seen = steps.take(
                step, _stop(step, n_steps, [*stops, steps.most], directory)
            )
            look(is_seen=is_seen, rows=rows)
            yield step
    except SimulationFailed as failure:
        failure.record = recorder.record(str(failure))
        if directory is not None:
            # the calculator may not be able to say more of this frame than it has said
            at = step if failure.step is None else failure.step
            directory.fail(str(failure), _frame(recorder.atoms), at)
            where: Path = directory.path / TRAJECTORY_FILE
            failure.args = (f"{failure}. The last frame is in {where}",)
        raise
    except KeyboardInterrupt:
        if directory is not None and directory.kept is not None:
            directory.kept.apply(recorder.atoms)  # not somewhere within a step
        raise


def _stop(step: int, n_steps: int, stops: list[int], directory: RunDirectory | None) -> int:
    """Return the next step after ``step`` that is to be the last of a sitting."""
    every = [*stops, STEPS_BETWEEN_REMOVALS]
    if directory is not None:
        every.append(directory.settings["trajectory_every"])
    return min(n_steps, *((step // n + 1) * n for n in every))


def _write(
    directory: RunDirectory,
    integrator: Integrator,
    step: int,
    rows: list[list[float]],
    *,
    last: bool,
    most: int,
) -> None:
    """Write what is due after a complete step; ``most`` as in `Steps`."""
    if rows:
        directory.write_samples(rows)
    atoms = integrator.atoms
    if step % directory.settings["trajectory_every"] == 0:
        for name in getattr(atoms.calc, "on_request", ()):  # what only frames are worth
            atoms.calc.get_property(name, atoms)
        directory.write_frame(_frame(atoms), step)
    if step % max(most, STEPS_BETWEEN_STATES) == 0 or last:
        directory.checkpoint(State.of(atoms, step, integrator.state()))


def _frame(atoms: Atoms) -> FrameData:
    return FrameData(atoms, getattr(atoms.calc, "results", {}))
