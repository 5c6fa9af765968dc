"""The plot: ms per atom against the number of atoms, one line per contestant."""

from __future__ import annotations

from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

MARKERS = "osD^vPX*<>"


def plot_calls(results: dict, path: Path) -> None:
    """A panel per number of members, one thread; both axes logarithmic."""
    calls = [r for r in results["records"] if r["measure"] == "call"]
    threads = min(r["threads"] for r in calls)
    calls = [r for r in calls if r["threads"] == threads]
    names = list(dict.fromkeys(r["contestant"] for r in calls))
    members = sorted({r["members"] for r in calls})
    figure = Figure(figsize=(5.2 * len(members) + 2.4, 4.6), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(members), squeeze=False, sharey=True)[0]
    for axes, number in zip(panels, members, strict=True):
        for k, name in enumerate(names):
            points = sorted(
                (results["about"]["atoms"][r["case"]], r["median_ms"])
                for r in calls
                if r["contestant"] == name and r["members"] == number
            )
            axes.loglog(
                [n for n, _ in points],
                [ms / n for n, ms in points],
                color=f"C{k}",
                marker=MARKERS[k % len(MARKERS)],
                linewidth=2.5 if name.startswith("ours") else 1.2,
                linestyle="--" if name.startswith("do-nothing") else "-",
                label=name,
            )
        axes.set_title(
            f"{number} member{'s' * (number > 1)}, {threads} thread{'s' * (threads > 1)}"
        )
        axes.set_xlabel("atoms")
        axes.grid(True, which="both", alpha=0.25)
    panels[0].set_ylabel("ms per atom (median call)")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right upper", fontsize="small", frameon=False)
    figure.savefig(path, dpi=150)
