"""The study's pictures: O–H curves as in the paper's Figure 3, and springs as in its Figure 2."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from ase_schnet.plotting import plot_springs

COLOURS = ("#E69F00", "#0072B2", "#009E73", "#D55E00", "#CC79A7", "#56B4E9")
PANELS = {  # the prefix of what each shows besides the control
    "springs, literal rule": ("literal-0.5", "literal-0.2", "literal-0.05"),
    "springs, first order": ("first-order", "weighted"),
    "displacements, delta labels": ("delta",),
    "stretched bonds, delta labels": ("chosen-stretch", "stretch-w0.1"),
}


def curves(results: dict[str, list[dict]], delta: np.ndarray) -> Figure:
    """One panel per kind of augmentation, a thin line per seed, the ab initio curve in black.

    delta: the curve of the delta rule's reference method on the same grid.
    """
    figure = Figure(figsize=(10, 7.5), layout="constrained")
    panels = figure.subplots(2, 2, sharex=True, sharey=True)
    for ax, (title, prefixes) in zip(panels.ravel(), PANELS.items(), strict=True):
        control = results["control"][0]
        grid = np.array(control["grid"])
        ax.axvspan(*control["range"], color="#E4E4E4", lw=0, zorder=0)
        _lines(ax, results["control"], grid, "#888888", "no augmentation")
        names = [name for name in results if name.startswith(prefixes)]
        for colour, name in zip(COLOURS, names, strict=False):
            _lines(ax, results[name], grid, colour, name)
        ax.plot(grid, control["reference"], "k--", lw=1.5, label="PBE/def2-SVP")
        if "delta" in title:
            ax.plot(grid, delta, "k:", lw=1.2, label="GFN2-xTB, 5000 K")
        ax.set_title(title, fontsize="medium", loc="left")
        ax.legend(fontsize="x-small", frameon=False)
        ax.set(xlim=(grid[0], grid[-1]), ylim=(-20, 180))
    figure.supxlabel("O–H distance (Å)", fontsize="medium")
    figure.supylabel("energy from the minimum (kcal/mol)", fontsize="medium")
    return figure


def network_curves(results: dict[str, dict]) -> Figure:
    """One panel per network, a line per augmentation, the ab initio curve in black."""
    figure = Figure(figsize=(9, 3.8), layout="constrained")
    panels = figure.subplots(1, 2, sharex=True, sharey=True)
    for ax, network in zip(panels, ("fast", "nff"), strict=True):
        ax.set_title(f"preset {network}", fontsize="medium", loc="left")
        rows = {name: row for name, row in results.items() if name.split("-")[0] == network}
        if not rows:
            continue
        first = next(iter(rows.values()))
        grid = np.array(first["grid"])
        ax.axvspan(*first["range"], color="#E4E4E4", lw=0, zorder=0)
        for colour, (name, row) in zip(("#888888", *COLOURS), rows.items(), strict=False):
            augmented = name.removeprefix(network).strip("-").replace("-", ", ε = ")
            _lines(ax, [row], grid, colour, augmented or "no augmentation")
        ax.plot(grid, first["reference"], "k--", lw=1.5, label="PBE/def2-SVP")
        ax.set(xlim=(grid[0], grid[-1]), ylim=(-20, 180))
        ax.legend(fontsize="x-small", frameon=False)
    figure.supxlabel("O–H distance (Å)", fontsize="medium")
    figure.supylabel("energy from the minimum (kcal/mol)", fontsize="medium")
    return figure


def _lines(ax, rows: list[dict], grid: np.ndarray, colour: str, label: str) -> None:
    for k, row in enumerate(rows):
        ax.plot(grid, row["model"], color=colour, lw=1.3, label=None if k else label)


def springs_picture(distances, springs) -> Figure:
    """The paper's Figure 2."""
    return plot_springs(distances, springs.pairs)
