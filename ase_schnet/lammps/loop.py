"""Do a run under LAMMPS to its end: the loop that samples, asks the monitor, writes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from tqdm import tqdm

from ase_schnet.lammps import mpi
from ase_schnet.lammps.files import RunFiles
from ase_schnet.lammps.monitor import RunMonitor
from ase_schnet.lammps.recorder import Recorder
from ase_schnet.lammps.steps import Steps
from ase_schnet.runs.failures import SimulationFailed
from ase_schnet.runs.record import MDRecord
from ase_schnet.runtime.progress import is_hidden


class Run(NamedTuple):
    """Hold a run in its first state, or where it stopped; the same in all processes.

    Attributes
    ----------
    comm
        mpi4py communicator.
    steps
        Moves the atoms.
    recorder
        Measures them.
    monitor
        May stop the run.
    files
        Open for writing.
    settings
        Of the run.
    n_steps
        Of the whole run.
    """

    comm: Any
    steps: Steps
    recorder: Recorder
    monitor: RunMonitor
    files: RunFiles
    settings: dict
    n_steps: int


def propagate(run: Run, progress: bool | None) -> MDRecord:
    """Do a run to its end, from the start or from where its directory stopped."""
    steps, recorder = run.steps, run.recorder
    hidden = run.comm.rank > 0 or is_hidden(progress)
    with tqdm(total=run.n_steps, initial=steps.step, unit="step", disable=hidden) as bar:
        try:
            with mpi.stopping() as signals:
                for taken in _propagation(run, signals):
                    bar.update(taken)
        except SimulationFailed as failure:
            failure.record = recorder.record(str(failure))
            run.files.fail(str(failure), steps.frame(), steps.step)
            raise
    return recorder.record()


def _propagation(run: Run, signals: list[float]) -> Iterator[int]:
    """Do a run sitting by sitting, up to a signal, and give the number of steps of each."""
    steps, files, n_steps = run.steps, run.files, run.n_steps
    stride = math.gcd(run.settings["record_every"], run.settings["trajectory_every"])
    stops = False
    if steps.step == 0:
        _look(run, None)
        stops = _has_come(run.comm, signals)
    while steps.step < n_steps:
        n = min(stride - steps.step % stride, n_steps - steps.step)
        keeps = files.is_due or stops or steps.step + n == n_steps
        state = steps.take(n, files.state_file if keeps else None)
        _look(run, state)
        stops = _has_come(run.comm, signals)
        yield n
        if stops and state is not None:  # with a point to go on from
            raise KeyboardInterrupt


def _look(run: Run, state: Path | None) -> None:
    """Sample, look and write after a complete step; what may raise comes before anything is written."""
    row, step = None, run.steps.step
    if step % run.settings["record_every"] == 0:
        row = run.recorder.sample(step)
        run.monitor.check(run.steps.potential, step, run.settings["timestep_fs"])
    is_seen = run.files.draws(step) or state is not None
    run.files.write(step, row, run.steps.frame() if is_seen else None, state)


def _has_come(comm: Any, signals: list[float]) -> bool:
    """Return whether a signal has come to any process."""
    return comm.allreduce(len(signals)) > 0
