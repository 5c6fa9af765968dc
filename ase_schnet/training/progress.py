"""Progress of a fit: a bar on a terminal, about a line per minute elsewhere."""

from __future__ import annotations

import sys
import time
from contextlib import nullcontext

from tqdm import tqdm

from ase_schnet.runtime.progress import MinuteLines, say, time_left
from ase_schnet.training.trainer import Fit


class Progress:
    """Print on stderr the progress of a fit that runs within the with block.

    Where stderr is not a terminal, there is a line at the start, about one a minute whatever an epoch takes,
    and one at the end. Each is written at once: several processes may write to one file.

    Parameters
    ----------
    fit
        The fit.
    label
        Name of the fit, such as "fold 3"; None prints nothing.
    position
        Line of the bar.
    """

    def __init__(self, fit: Fit, label: str | None, position: int = 0):
        self._fit, self._label = fit, label
        self._in_lines = bool(label) and not sys.stderr.isatty()
        self._bar = tqdm(
            total=fit.settings.epochs,
            initial=fit.epoch,
            desc=label,
            unit="epoch",
            position=position,
            disable=None if label else True,  # None: off when not a terminal
        )
        self._errors = ""  # of the last epoch
        self._lines = MinuteLines(self._line) if self._in_lines else nullcontext()

    def __enter__(self) -> Progress:
        self._began, self._first_step = time.monotonic(), self._fit.step
        if self._in_lines:
            n = len(self._fit.training)
            self.say(f"epoch {self._fit.epoch}/{self._fit.settings.epochs}, {n} structures")
        self._lines.__enter__()
        return self

    def __exit__(self, *error) -> None:
        self._bar.close()
        self._lines.__exit__(*error)
        if self._in_lines and not any(error):
            self.say(self._state())

    def epoch(self, record: dict) -> None:
        """Show the errors of an epoch that has ended, from its record."""
        self._errors = _describe(record, self._fit.training.dataset.per_atom_metrics)
        self._bar.set_postfix_str(self._errors)
        self._bar.update()

    def say(self, line: str) -> None:
        """Print a line about this fit."""
        if self._label:
            say(f"{self._label}: {line}")

    def _line(self) -> str:
        done, steps = self._fit.step - self._first_step, self._fit.total_steps - self._first_step
        return f"{self._label}: {self._state()}{time_left(self._began, done, steps)}"

    def _state(self) -> str:
        fit = self._fit
        epoch = fit.step / fit.steps_per_epoch  # in the middle of one, when one takes long
        done = f"{epoch:.1f}" if fit.step % fit.steps_per_epoch else f"{fit.epoch}"
        return ", ".join(filter(None, [f"epoch {done}/{fit.settings.epochs}", self._errors]))


def _describe(record: dict, per_atom: bool) -> str:
    """Return the validation errors of an epoch in a few words."""
    energy = ("energy_mae_meV_per_atom", "meV/atom") if per_atom else ("energy_mae_meV", "meV")
    columns = {
        "F": ("forces_mae_meV_per_Ang", "meV/Å"),
        "E": energy,
        "σ": ("stress_mae_meV_per_Ang3", "meV/Å³"),
    }
    known = {k: (record[f"validation_{name}"], unit) for k, (name, unit) in columns.items()}
    return ", ".join(f"{k} {v:.1f} {unit}" for k, (v, unit) in known.items() if v is not None)
