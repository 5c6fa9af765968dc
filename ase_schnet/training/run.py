"""Run a fit to its end: progress, log, checkpoints, and the way back from an epoch that diverged."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from ase_schnet.inference.torch_ensemble import threads_for
from ase_schnet.training.log import TrainingLog
from ase_schnet.training.progress import Progress
from ase_schnet.training.result import FitResult, TrainingDiverged
from ase_schnet.training.trainer import Fit


def run_fit(
    fit: Fit,
    checkpoint: Path | None = None,
    *,
    log: Path | None = None,
    label: str | None = "fit",
    position: int = 0,
    checkpoint_every_s: float = 20.0,
    keep_going: Callable[[], bool] = lambda: True,
) -> FitResult | None:
    """Run epochs until the fit is finished.

    An epoch that diverges is undone, and the fit goes on from the start of that epoch with half the learning
    rate. That depends on nothing but the state of the fit, so a resumed fit does the same.

    Parameters
    ----------
    fit
        The fit. It may be shared by several processes, which all call this.
    checkpoint
        File for the state; the fit goes on from it if it exists.
    log
        File (csv) for one line per epoch.
    label, position
        Of the progress, a bar or lines; without a label nothing is printed.
    checkpoint_every_s
        Least time between two checkpoints, s.
    keep_going
        Called before every epoch; when it returns false, the fit stops.

    Returns
    -------
    FitResult or None
        None when `keep_going` stopped the fit; the checkpoint then holds the last epoch.

    Raises
    ------
    TrainingDiverged
        After `MAX_RECOVERIES` ways back, and at once for a fit that had them before.
    CannotWrite
        If the checkpoint or the log cannot be written.
    """
    if checkpoint is not None:
        fit.resume(checkpoint)
    files = _Files(fit, checkpoint, log, checkpoint_every_s)
    fit.on_rank_zero(files.open)
    with Progress(fit, label, position) as progress, threads_for(fit.atoms_per_batch):
        _run_epochs(fit, files, progress, keep_going)
    fit.on_rank_zero(files.save)
    if fit.diverged:
        raise TrainingDiverged(
            f"{label or 'the fit'} diverged {len(fit.recoveries)} times, the last time with "
            f"{2 * fit.slowdown:g} of the learning rate. Use a learning rate below "
            f"{fit.settings.learning_rate:g}"
        )
    return fit.result() if fit.finished else None


def _run_epochs(
    fit: Fit, files: _Files, progress: Progress, keep_going: Callable[[], bool]
) -> None:
    """Run epochs until the fit is finished, has diverged for good, or is told to stop."""
    good = fit.state()
    while not fit.finished and not fit.diverged and fit.on_rank_zero(keep_going):
        try:
            record = fit.run_epoch()
        except TrainingDiverged as error:
            fit.recover(good)
            if not fit.diverged:
                rate = f"learning rate × {fit.slowdown:g}"
                progress.say(f"{error}: back to epoch {fit.epoch}, {rate}")
            continue
        good = fit.state()
        progress.epoch(record)
        fit.on_rank_zero(partial(files.add, record))


class _Files:
    """Write the log and the checkpoints of a fit; for rank zero alone."""

    def __init__(self, fit: Fit, checkpoint: Path | None, log: Path | None, every_s: float):
        self._fit, self._checkpoint, self._log, self._every_s = fit, checkpoint, log, every_s
        self._written: TrainingLog | None = None
        self._saved_at = time.monotonic()

    def open(self) -> None:
        """Begin the log with the epochs that are done."""
        if self._log is not None:
            self._written = TrainingLog(self._log, self._fit.history)

    def add(self, record: dict) -> None:
        """Write an epoch into the log, and the state if the last checkpoint is old enough."""
        if self._written is not None:
            self._written.add(record)
        if time.monotonic() - self._saved_at >= self._every_s:
            self.save()

    def save(self) -> None:
        """Write the state of the fit."""
        if self._checkpoint is not None:
            self._fit.save(self._checkpoint)
        self._saved_at = time.monotonic()
