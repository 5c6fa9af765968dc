"""A picture that follows long work: a fault in it is one line, and the work goes on."""

import threading

import pytest
from matplotlib.figure import Figure

from ase_schnet.plotting import LiveFigure


def empty_figure() -> Figure:
    return Figure()


def damaged_log() -> Figure:
    raise KeyError("epoch")


def text_as_figure() -> str:
    return "no figure"


@pytest.mark.parametrize("draw", [damaged_log, text_as_figure])
def test_any_error_of_a_drawing_ends_the_pictures_in_one_line(draw, tmp_path, monkeypatch):
    """Else the thread ends with a traceback in the middle of the progress bars."""
    escaped = []
    monkeypatch.setattr(threading, "excepthook", escaped.append)
    with (
        pytest.warns(UserWarning, match="no more pictures") as warned,
        LiveFigure(draw, tmp_path / "curves.png", every_s=0.01) as live,
    ):
        live._thread.join(30)
    assert not live._thread.is_alive()
    assert not escaped
    (warning,) = warned
    assert "\n" not in str(warning.message)
    assert "curves.png" in str(warning.message)


def test_work_shorter_than_the_interval_draws_nothing(tmp_path):
    with LiveFigure(empty_figure, tmp_path / "curves.png", every_s=60):
        pass
    assert not (tmp_path / "curves.png").exists()
