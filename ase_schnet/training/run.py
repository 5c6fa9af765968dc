"""Runs a fit to its end: progress, log, checkpoints, and the way back from an epoch that diverged."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from ase_schnet.inference.torch_ensemble import threads_for
from ase_schnet.training.log import TrainingLog
from ase_schnet.training.progress import Progress
from ase_schnet.training.trainer import Fit, FitResult, TrainingDiverged


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
    """Run epochs until the fit is finished, continuing from `checkpoint` where that file exists.

    An epoch that diverges is undone and the fit goes on from its start with half the learning rate; that
    depends on nothing but the fit's state, so a resumed fit does the same.

    log : csv file for one line per epoch.
    label, position : of the progress, a bar or lines; None prints nothing.

    Returns None when `keep_going()` turned false first; the checkpoint then holds the last epoch.
    Raises TrainingDiverged after `MAX_RECOVERIES` ways back, and at once for a fit that had them before.
    """
    if checkpoint is not None:
        fit.resume(checkpoint)
    written = None if log is None else TrainingLog(log, fit.history)
    good, saved_at = fit.state(), time.monotonic()
    with Progress(fit, label, position) as progress, threads_for(fit.atoms_per_batch):
        while not fit.finished and not fit.diverged and keep_going():
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
            if written is not None:
                written.add(record)
            if checkpoint is not None and time.monotonic() - saved_at >= checkpoint_every_s:
                fit.save(checkpoint)
                saved_at = time.monotonic()
    if checkpoint is not None:
        fit.save(checkpoint)
    if fit.diverged:
        raise TrainingDiverged(
            f"{label or 'the fit'} diverged {len(fit.recoveries)} times, in the end with "
            f"{2 * fit.slowdown:g} of the learning rate; lower the learning rate "
            f"(now {fit.settings.learning_rate:g})"
        )
    return fit.result() if fit.finished else None
