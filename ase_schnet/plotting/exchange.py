"""Picture of a replica exchange: how walkers wander between temperatures, how often neighbours exchange."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ase_schnet.plotting.numbers import keep_numbers
from ase_schnet.plotting.style import BLUE, WIDTH, figure_of, given_axes, legible
from ase_schnet.runs.exchange_log import ExchangeRecord

#: Attempts that are drawn; of more, some are left out.
MAX_ATTEMPTS = 2000


@legible
def plot_exchange(
    record: ExchangeRecord | str | Path, axes: Axes | Sequence[Axes] | None = None
) -> Figure:
    """Draw a replica exchange: the temperature of each walker along the run, and the acceptance.

    Walkers that wander from end to end mix; a pair of neighbours that hardly exchanges parts the ladder in
    two, and needs temperatures closer to each other.

    Parameters
    ----------
    record
        The exchange, or the path of its directory.
    axes
        Two, for walkers and acceptance; or one, for the walkers. By default a new figure.

    Returns
    -------
    Figure
        The figure of the axes.
    """
    if isinstance(record, (str, Path)):
        record = ExchangeRecord.read(record)
    if not len(record.time_fs):
        raise ValueError("there is no exchange to draw: none was tried yet")
    if axes is None:
        figure = Figure(figsize=(WIDTH, 0.45 * WIDTH), layout="constrained")
        panels = list(figure.subplots(1, 2, width_ratios=(2, 1)))
    else:
        panels = given_axes(axes, ("walkers", "acceptance"))
        figure = figure_of(panels)
    _draw_walkers(panels[0], record)
    if len(panels) > 1:
        _draw_acceptance(panels[1], record)
    return figure


def _draw_walkers(axes: Axes, record: ExchangeRecord) -> None:
    number = len(record.temperatures_K)
    names = {f"walker_at_{kelvin:.6g}_K": k for k, kelvin in enumerate(record.temperatures_K)}
    columns = {name: record.walkers[:, k] for name, k in names.items()}
    keep_numbers(axes, "walkers", time_ps=record.time_fs / 1000, **columns)
    every = -(-len(record.time_fs) // MAX_ATTEMPTS)
    time_ps, walkers = record.time_fs[::every] / 1000, record.walkers[::every]
    colours = matplotlib.colormaps["viridis"](np.linspace(0, 0.9, number))
    for walker in range(number):
        place = np.argmax(walkers == walker, axis=1)
        kelvin = record.temperatures_K[place]
        axes.step(time_ps, kelvin, where="post", color=colours[walker], lw=0.8, alpha=0.8)
    axes.set_yscale("log")
    axes.set_yticks(record.temperatures_K, [f"{one:.0f}" for one in record.temperatures_K])
    axes.minorticks_off()
    axes.set_xlabel("time / ps")
    axes.set_ylabel("temperature / K")
    trips = int(record.round_trips.sum())
    axes.set_title(f"{number} walkers, {trips} round trip{'' if trips == 1 else 's'}")


def _draw_acceptance(axes: Axes, record: ExchangeRecord) -> None:
    kelvin, accepted = record.temperatures_K, record.acceptance
    places = np.arange(len(accepted))
    ends = {"lower_K": kelvin[:-1], "upper_K": kelvin[1:]}
    keep_numbers(axes, "acceptance", **ends, acceptance=accepted)
    axes.barh(places, accepted, color=BLUE)
    axes.set_yticks(places, [f"{a:.0f}, {b:.0f}" for a, b in pairwise(kelvin)])
    axes.set_xlim(0, 1)
    axes.set_xlabel("exchanged / tried")
    axes.set_ylabel("neighbours / K")
