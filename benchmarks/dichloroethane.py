"""Frames of rotate–predict–rotate on 1,2-dichloroethane, from gauche to trans: errors and jumps.

    OMP_NUM_THREADS=1 python -m benchmarks.dichloroethane      some minutes on one core; needs tblite
    python -m benchmarks.dichloroethane --report               from dichloroethane.json alone, no picture

The molecule of the paper (doi:10.1063/5.0230176), with GFN2-xTB in place of B3LYP; structures and dynamics
are those of md_examples/9_dichloroethane_dipole.py, which are kept in md_examples/output and go on where they
were stopped. Writes dichloroethane.json and .png, and its section of dipoles.md.
"""

from __future__ import annotations

import argparse
import json
import runpy
import time
from collections.abc import Callable
from pathlib import Path
from textwrap import fill

import numpy as np
from ase.data import atomic_masses
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ase_schnet.data.dataset import Dataset
from ase_schnet.dipole.fit import fit_rpr
from ase_schnet.dipole.frame import moments_and_axes
from ase_schnet.dipole.settings import RPRSettings
from ase_schnet.plotting import save_figure
from ase_schnet.plotting.style import BLACK, BLUE, ORANGE
from benchmarks.dipole_rivals import both, in_frame, no_rotation, signs_by_third_moments

HERE = Path(__file__).resolve().parent
STORE, PAGE = HERE / "dichloroethane.json", HERE / "dipoles.md"
EXAMPLE = HERE.parent / "md_examples" / "9_dichloroethane_dipole.py"
TITLE = "## From gauche to trans: 1,2-dichloroethane, GFN2-xTB"
FRAME_FS, WIDTH = 2.0, 110
#: Steps into which the way from a frame to the next is cut; halvings of each; e·Å that count as a jump.
PARTS, HALVINGS, JUMP = 16, 24, 1e-5
LETTER, OURS = (
    'inertia axes, signs by a reference: `frame="inertia"`',
    "**followed axes**: the default",
)
LETTER_ALIKE = LETTER, "followed axes, no exchanges"
SETTINGS = {
    LETTER: RPRSettings(frame="inertia"),
    "the same, equal atoms exchanged": RPRSettings(frame="inertia", max_exchanges=24),
    "followed axes, no exchanges": RPRSettings(max_exchanges=1),
    OURS: RPRSettings(),
}
RIVALS = {
    "no rotation, KRR": in_frame(no_rotation, both),
    "inertia axes, signs by third moments, KRR": in_frame(signs_by_third_moments, both),
}
Predict = Callable[[NDArray], NDArray]


def jumps(predict: Predict, path: NDArray, parts: int = PARTS) -> tuple[NDArray, NDArray]:
    """Where along a path, in frames, `predict` is not continuous, and how far it jumps there.

    The path (F, N, 3) goes straight from frame to frame, in `parts` steps. Each step is halved again and
    again, and the half with the larger change kept. A continuous change vanishes, and a jump stays.
    """
    f = (len(path) - 1) * parts
    low, high = np.arange(f) / parts, (np.arange(f) + 1) / parts

    def at(t: NDArray) -> NDArray:
        k = np.minimum(t.astype(int), len(path) - 2)
        share = (t - k)[:, None, None]
        points = (1 - share) * path[k] + share * path[k + 1]
        return np.concatenate([predict(p) for p in np.array_split(points, -(-len(points) // 512))])

    values = at(np.append(low, 1.0 * (len(path) - 1)))
    left, right = values[:-1], values[1:]
    for _ in range(HALVINGS):
        open_ = np.linalg.norm(right - left, axis=1) > JUMP
        low, high, left, right = low[open_], high[open_], left[open_], right[open_]
        if not len(low):
            break
        middle = (low + high) / 2
        value = at(middle)
        first = np.linalg.norm(value - left, axis=1) > np.linalg.norm(right - value, axis=1)
        low, high = np.where(first, low, middle), np.where(first, middle, high)
        left, right = (
            np.where(first[:, None], left, value),
            np.where(first[:, None], value, right),
        )
    return low, np.linalg.norm(right - left, axis=1)


def row_of(predict: Predict, path: NDArray, truth: NDArray, parts: dict, seconds: float) -> dict:
    """Errors of a component by conformer, of the whole, the steepest change and the jumps."""
    predicted = predict(path)
    error = predicted - truth
    where, size = jumps(predict, path)
    return {
        "MAE": {name: float(np.abs(error[chosen]).mean()) for name, chosen in parts.items()},
        "largest_error": float(np.linalg.norm(error, axis=1).max()),
        "largest_change": steepest(predicted),
        "n_jumps": len(where),
        "largest_jump": float(size.max(initial=0.0)),
        "jumps_at_fs": (FRAME_FS * where).tolist(),
        "fit_s": seconds,
    }


def steepest(values: NDArray) -> float:
    """Largest change from a frame to the next."""
    return float(np.linalg.norm(np.diff(values, axis=0), axis=1).max())


def predictors(train: Dataset) -> dict[str, tuple[Predict, float]]:
    """Every method, fitted, with the processor time of the fit."""
    numbers, found = train.Z[: train.n_atoms[0]], {}
    r = train.R.reshape(len(train), -1, 3)
    for name, method in RIVALS.items():
        begin = time.process_time()
        masses = atomic_masses[numbers]
        predict = method(_centred(r, masses), train.dipole, masses, numbers)
        seconds = time.process_time() - begin
        found[name] = (lambda x, p=predict, m=masses: p(_centred(x, m))), seconds
    for name, settings in SETTINGS.items():
        begin = time.process_time()
        model = fit_rpr(train, settings=settings)
        seconds = time.process_time() - begin
        found[name] = (lambda x, m=model: m.predict_many(x).mean(axis=0)), seconds
    return found


def _centred(r: NDArray, masses: NDArray) -> NDArray:
    return r - (masses @ r / masses.sum())[:, None]


def picture(path: NDArray, numbers: NDArray, phi: NDArray, truth: NDArray, shown: list) -> Figure:
    """Dihedral and moments, dipole and errors along the trajectory, with the jumps; a column wide."""
    figure = Figure(figsize=(3.6, 5.6), layout="constrained")
    top, middle, below = figure.subplots(3, sharex=True, height_ratios=(1.2, 2, 2))
    t = FRAME_FS * np.arange(len(phi))
    top.plot(t, phi, color=BLACK, lw=1)
    moments = moments_and_axes(path, atomic_masses[numbers])[0]
    gap = top.twinx()
    gap.plot(t, 100 * (moments[:, 2] - moments[:, 1]) / moments[:, 2], color="0.6", lw=0.8)
    gap.set_ylabel("gap of moments (%)", color="0.5", fontsize="x-small")
    top.set_ylabel("Cl–C–C–Cl (°)", fontsize="x-small")
    middle.plot(t, np.linalg.norm(truth, axis=1), color=BLACK, lw=2, label="GFN2-xTB")
    styles = {"axes of inertia": (ORANGE, "-"), "followed axes": (BLUE, "--")}
    for (label, (color, dashes)), (values, row) in zip(styles.items(), shown, strict=True):
        middle.plot(t, np.linalg.norm(values, axis=1), dashes, color=color, lw=1, label=label)
        error = np.linalg.norm(values - truth, axis=1)
        below.semilogy(t, error, ".", ms=2, color=color)
        for k, at in enumerate(row["jumps_at_fs"]):
            below.axvline(at, 0, 0.06, color=color, lw=0.8, label=None if k else "jumps")
    middle.set_ylabel("|dipole| (e·Å)", fontsize="x-small")
    below.set_ylabel("|error| (e·Å); jumps below", fontsize="x-small")
    below.set_xlabel("time (fs)", fontsize="small")
    for ax in (top, gap, middle, below):
        ax.tick_params(labelsize="x-small")
    middle.legend(fontsize="x-small", frameon=False, loc="upper right")
    middle.set_ylim(0, 1.15 * np.linalg.norm(truth, axis=1).max())
    return figure


def section(store: dict) -> str:
    """The section of dipoles.md."""
    names = list(store["frames"])
    head = ["method", *(f"MAE {name}" for name in names), "largest error", "steepest change"]
    head += ["jumps", "largest jump", "fit s"]
    lines = [TITLE, "", fill(INTRODUCTION.format(**store), WIDTH), ""]
    lines += [f"| {' | '.join(head)} |", f"| --- {'| ---: ' * (len(head) - 1)}|"]
    for name, row in store["rows"].items():
        mae = " | ".join(f"{row['MAE'][k]:.5f}" for k in names)
        jump = f"{row['largest_jump']:.4f}" if row["n_jumps"] else "none"
        lines.append(
            f"| {name} | {mae} | {row['largest_error']:.4f} | {row['largest_change']:.4f} "
            f"| {row['n_jumps']} | {jump} | {row['fit_s']:.1f} |"
        )
    frame, whole = _times(store, LETTER_ALIKE), _times(store, (LETTER, OURS))
    lines += ["", fill(READING.format(frame=frame, whole=whole), WIDTH)]
    return "\n".join(lines) + "\n"


def _times(store: dict, names: tuple[str, str]) -> str:
    """How many times the errors of the first method are those of the second, by conformer."""
    one, other = (store["rows"][name]["MAE"] for name in names)
    return ", ".join(f"{name} {one[name] / other[name]:.2g}" for name in one)


READING = """Errors in the axes of inertia over those in followed axes, neither with exchanges (followed axes
know mirror images besides): {frame}. To the letter over the default: {whole}. One trajectory, one fit of
each."""

INTRODUCTION = """Written by `python -m benchmarks.dichloroethane`; do not edit. The molecule of the paper,
with GFN2-xTB in place of its functional: {n_train} structures of runs at 1000 K to train, turned at random,
and one trajectory of constant energy over the barrier to test ({frames[gauche]} frames gauche,
{frames[between]} between, {frames[trans]} trans, 2 fs apart; `dichloroethane.png`). Errors in e·Å per
component; *largest error* and *steepest change* (from one frame to the next; {steepest:.4f} in truth) are
lengths of vectors. *Jumps* are places between the frames where the prediction is not continuous: every step
of a straight line from frame to frame is halved until it is 10⁻⁸ fs short, and what has not vanished then is
a jump. The two large moments of inertia come as near as {gap:.2g} % of the larger one along the test,
{gap_train:.2g} % in the training data."""


def replace_section(page: str, text: str) -> str:
    """The page with its last section, that of `TITLE`, written anew."""
    return page.split(TITLE)[0].rstrip() + "\n\n" + text


def measured() -> tuple[dict, Figure]:
    """Make the structures, fit, follow the trajectory; what goes into the store, and the picture."""
    example = runpy.run_path(str(EXAMPLE), run_name="example")
    train = Dataset.from_atoms(example["turned"](example["hot_frames"](), seed=0))
    frames = example["crossing"]()
    phi = example["angles"](frames)
    path = np.array([atoms.positions for atoms in frames])
    truth = np.array([atoms.get_dipole_moment() for atoms in frames])
    parts = {"gauche": phi < 100, "between": (phi >= 100) & (phi <= 140), "trans": phi > 140}
    masses = frames[0].get_masses()
    gaps = [
        float(100 * np.min((m[:, 2] - m[:, 1]) / m[:, 2]))
        for m, _ in (
            moments_and_axes(r, masses) for r in (path, train.R.reshape(-1, *path.shape[1:]))
        )
    ]
    store = {
        "n_train": len(train),
        "frames": {name: int(chosen.sum()) for name, chosen in parts.items()},
        "steepest": steepest(truth),
        "gap": gaps[0],
        "gap_train": gaps[1],
        "rows": {},
    }
    shown = {}
    for name, (predict, seconds) in predictors(train).items():
        store["rows"][name] = row_of(predict, path, truth, parts, seconds)
        print(
            name, {k: v for k, v in store["rows"][name].items() if k != "jumps_at_fs"}, flush=True
        )
        if name in (LETTER, OURS):
            shown[name] = predict(path), store["rows"][name]
    drawn = [shown[name] for name in (LETTER, OURS)]
    return store, picture(path, frames[0].numbers, phi, truth, drawn)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--report", action="store_true", help="measure nothing")
    if not parser.parse_args().report:
        store, figure = measured()
        STORE.write_text(json.dumps(store))
        save_figure(figure, HERE / "dichloroethane.png")
    text = section(json.loads(STORE.read_text()))
    PAGE.write_text(replace_section(PAGE.read_text(), text))


if __name__ == "__main__":
    main()
