"""A picture that follows long work while it goes on."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable
from pathlib import Path

from matplotlib.figure import Figure

from ase_schnet.plotting.style import save_figure


class LiveFigure:
    """Draw a picture again, every half minute, for as long as the ``with`` block lasts.

    The file is replaced as a whole: a viewer that reloads it never sees half a picture. An error of a drawing
    ends the pictures with a warning, and the work goes on.

    Parameters
    ----------
    draw
        Returns the figure, or None while there is nothing to show. It is called in a thread of its own.
    path
        Picture file to write.
    every_s
        Time between two drawings, s.

    Warns
    -----
    UserWarning
        Once, when a picture cannot be drawn or written.
    """

    def __init__(
        self, draw: Callable[[], Figure | None], path: str | Path, every_s: float = 30.0
    ) -> None:
        self._draw, self._path, self._every_s = draw, Path(path), every_s
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def __enter__(self) -> LiveFigure:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._end.set()
        self._thread.join()

    def _follow(self) -> None:
        while not self._end.wait(self._every_s):
            try:
                figure = self._draw()
                if figure is not None:
                    save_figure(figure, self._path)
            except Exception as error:  # whatever it is: the work is worth more than its picture
                reason = " ".join(f"{type(error).__name__}: {error}".split())
                warnings.warn(
                    f"no more pictures are drawn to {self._path} ({reason}); the work goes on",
                    stacklevel=2,
                )
                return
