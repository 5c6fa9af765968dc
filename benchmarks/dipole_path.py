"""A path on which two moments of inertia change places, and the picture of what is predicted along it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from ase.data import atomic_masses
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ase_schnet.dipole.frame import centred, moments_and_axes
from benchmarks.dipole_data import Case

PATH = (-1.4, -0.4)  # powers of the swelling; the crossing is half way


def crossing(case: Case, n: int) -> np.ndarray:
    """Methanol swollen across its axis until the two large moments have changed places, (n, N, 3)."""
    masses = atomic_masses[case.numbers]
    mean = case.positions[0] @ moments_and_axes(case.positions[0], masses)[1].T
    t = np.linspace(*PATH, n)[:, None, None]
    return mean * np.array([1.0, 1.1, 0.9]) ** t


def largest_change(predict, case: Case, n: int) -> float:
    return float(np.linalg.norm(np.diff(predict(crossing(case, n)), axis=0), axis=1).max())


def plot(case: Case, predictors: dict, path: Path) -> None:
    """Along the crossing: the moments, what three methods predict, the largest change against the step."""
    shown = {
        "signs by third moments": "inertia axes, signs by third moments, Cartesian, KRR",
        "average over 4 inertia frames": "inertia axes, average over 4 frames, Cartesian, KRR",
        "followed axes": "**followed axes**, 500 centres: the default",
    }
    figure = Figure(figsize=(13, 4), layout="constrained")
    FigureCanvasAgg(figure)
    left, middle, right = figure.subplots(1, 3)
    path_points, t = crossing(case, 1001), np.linspace(*PATH, 1001)
    masses = atomic_masses[case.numbers]
    moments = moments_and_axes(centred(path_points, masses), masses)[0]
    left.plot(t, moments[:, 1:], color="0.3")
    left.set(xlabel="position on the path", ylabel="moments of inertia (amu Å²)")
    left.set_title("two moments change places")
    for k, (label, name) in enumerate(shown.items()):
        norm = np.linalg.norm(predictors[name](path_points), axis=1)
        middle.plot(t, norm, color=f"C{k}", label=label)
        steps = np.array([101, 401, 1601, 6401])
        changes = [largest_change(predictors[name], case, n) for n in steps]
        right.loglog((PATH[1] - PATH[0]) / (steps - 1), changes, "o-", color=f"C{k}", label=label)
    middle.set(
        xlabel="position on the path", ylabel="|μ| (e Å)", title="methanol, predicted dipole"
    )
    right.set(
        xlabel="step", ylabel="largest change in a step (e Å)", title="no jump: falls with the step"
    )
    middle.legend()
    right.legend()
    figure.savefig(path, dpi=110)
