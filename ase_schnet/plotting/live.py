"""A picture that follows long work while it goes on."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable
from pathlib import Path

from matplotlib.figure import Figure

from ase_schnet.plotting.style import save_figure


class LiveFigure:
    """Draws a file anew, every half minute, for as long as the with block lasts.

    The file is replaced as a whole, so a viewer that reloads it never sees half a picture.

    Parameters
    ----------
    draw
        Called in a thread of its own; None while there is nothing to be seen.
    path
        The picture.
    every_s
        Seconds between two drawings.
    """

    def __init__(self, draw: Callable[[], Figure | None], path: str | Path, every_s: float = 30.0):
        self._draw, self._path, self._every_s = draw, Path(path), every_s
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def __enter__(self) -> LiveFigure:
        self._thread.start()
        return self

    def __exit__(self, *error) -> None:
        self._end.set()
        self._thread.join()

    def _follow(self) -> None:
        while not self._end.wait(self._every_s):
            figure = self._draw()
            if figure is None:
                continue
            try:
                save_figure(figure, self._path)
            except OSError as error:  # the work is worth more than its picture
                warnings.warn(f"no more pictures of it: {error}", stacklevel=2)
                return
