"""The training losses of aspirin after 10, 50 and 500 epochs, beside what the package says of their length.

    OMP_NUM_THREADS=1 python -m benchmarks.aspirin_epochs DATA_DIR -o DIR     trains what is missing
    python -m benchmarks.aspirin_epochs --report                              from aspirin_epochs.json alone

DATA_DIR holds rmd17-npz/. The report on SchNet draws the loss of every batch of the last 10,000 of 15,625
steps, 10 epochs of 50,000 frames, with a straight line through it, and takes the fall of that line for a sign
that the training was too short (its Figs 1 and 2). Here are the same lines over the same share of the steps.
Trainings are on disk in DIR and go on where they were stopped; a finished one is written into
aspirin_epochs.json. Writes aspirin_epochs.md and .png.
"""

from __future__ import annotations

import argparse
import json
import math
import textwrap
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ase_schnet import Recipe, assemble_ensemble, plan_folds, read_dataset
from ase_schnet.data.dataset import Dataset
from ase_schnet.modelfile import TrainedModel
from ase_schnet.plotting import save_figure
from ase_schnet.plotting.style import BLACK, BLUE, ORANGE
from ase_schnet.runtime.files import replaced, write_whole
from ase_schnet.schnet_config import PRESETS
from ase_schnet.training.card import fold_entry
from ase_schnet.training.checkpoint import nested
from ase_schnet.training.length import FEWEST_EPOCHS
from ase_schnet.training.loss_weights import LossWeights
from ase_schnet.training.report import verdict_of
from ase_schnet.training.run import run_fit
from ase_schnet.training.settings import FitSettings
from ase_schnet.training.trainer import Fit
from ase_schnet.training.workdir import WorkDirectory

HERE = Path(__file__).resolve().parent
STORE = HERE / "aspirin_epochs.json"
FILE = "rmd17-npz/rmd17_aspirin_train_01.npz"
DRAWN, ALSO = (10, 50, 500), (100,)  # the last is what came of twice 50
KEPT_OUT = 0.1  # of the frames
SHARE = 10_000 / 15_625  # of the steps, those of the end: drawn, and regressed
LOSSES = ("training_loss", "validation_loss")  # of an epoch
POINTS = 1500  # of a curve in the store


class Recorded(Fit):
    """A fit that keeps the loss of every batch, in its checkpoints too."""

    def __init__(self, *args):
        super().__init__(*args)
        self.batch_losses: list[float] = []

    def _descend(self, loss: torch.Tensor, rate: float) -> None:
        self.batch_losses.append(float(loss.detach()))
        super()._descend(loss, rate)

    def state(self):
        """As the fit's, with the losses."""
        tensors, header = super().state()
        losses = torch.tensor(self.batch_losses, dtype=torch.float64)
        return {**tensors, "batch_losses": losses}, header

    def restore(self, tensors, header):
        """As the fit's, with the losses."""
        super().restore(tensors, header)
        self.batch_losses = tensors["batch_losses"].tolist()


def trained(dataset: Dataset, directory: Path, recipe: Recipe) -> TrainedModel:
    """The ensemble as `cross_validate` makes it, in one process, with the losses of all batches beside it."""
    work, folds = WorkDirectory(directory), range(1, recipe.n_folds + 1)
    recipe = recipe.with_defaults_for(dataset)
    work.begin(dataset, recipe)
    while not work.complete and (due := [k for k in folds if work.due(k) is not None]):
        for (
            fold
        ) in due:  # a second attempt is due when all have ended and one far worse than the others
            _train_member(dataset, work, recipe, fold, work.due(fold))
    return assemble_ensemble(directory)


def _train_member(
    dataset: Dataset, work: WorkDirectory, recipe: Recipe, fold: int, attempt: int
) -> None:
    fit = recipe.fit(dataset, fold - 1, attempt, Recorded)
    label = f"{recipe.settings.epochs} epochs, member {fold}"
    begin = time.process_time()
    result = run_fit(fit, work.checkpoint(fold, attempt), log=work.log(fold, attempt), label=label)
    print(f"{label}: {time.process_time() - begin:.0f} s of this process", flush=True)
    columns = {name: [row[name] for row in fit.history] for name in LOSSES}
    path = losses_file(work.model_dir, fit.settings.seed)
    with replaced(path) as there, there.open("wb") as file:
        np.savez(file, batches=fit.batch_losses, **columns)
    tensors = nested("schnet", result.potential.schnet.state_dict())
    header = {"diverged": False, "scale": result.potential.scale, "entry": fold_entry(fit, result)}
    work.finish(fold, attempt, tensors | {"shift": result.potential.shift}, header)


def losses_file(directory: Path, seed: int) -> Path:
    """Where the losses of the member with this seed are: of all batches, and by epoch."""
    return directory / f"losses_seed_{seed}.npz"


def window(losses: NDArray) -> slice:
    """The steps of the end of a training that are drawn."""
    return slice(len(losses) - round(SHARE * len(losses)), len(losses))


def regression(losses: NDArray) -> tuple[float, float]:
    """First and last value of the straight line through the losses of the drawn steps (least squares)."""
    shown = losses[window(losses)]
    slope, start = np.polyfit(np.arange(len(shown)), shown, 1)
    return float(start), float(start + slope * (len(shown) - 1))


def in_blocks(values: NDArray, points: int = POINTS) -> tuple[NDArray, NDArray]:
    """Means of blocks of equal size, of which there are `points` at most, and the place of each, from 0."""
    size = -(-len(values) // points)
    whole = len(values) // size
    means = values[: whole * size].reshape(whole, size).mean(axis=1)
    return (np.arange(whole) + 0.5) * size - 0.5, means


def row_of(model: TrainedModel, directory: Path) -> dict:
    """What is stored of a training."""
    card = model.card
    members = [np.load(losses_file(directory, fold["seed"])) for fold in card["folds"]]
    losses = members[0]["batches"]
    steps, means = in_blocks(losses[window(losses)])
    ends = np.array([[member[name][-1] for name in LOSSES] for member in members])
    kept = ("forces_mae_meV_per_Ang", "energy_mae_meV")
    return {
        "epochs": len(members[0]["validation_loss"]),
        "steps": len(losses),
        "steps_drawn": (steps + window(losses).start).tolist(),
        "losses_drawn": [float(f"{x:.4g}") for x in means],
        "regression": regression(losses),
        "validation": [float(f"{x:.4g}") for x in members[0]["validation_loss"]],
        "ln_ends": np.log(ends).mean(axis=0).tolist(),
        "kept_out": {name: card["kept_out"][name] for name in kept},
        "verdict": card["verdict"],
        "length": card.get("training_length"),
        "said": said(model),
    }


def said(model: TrainedModel) -> str:
    """What the package says at the end of the training about its length, or why it says nothing."""
    verdict = verdict_of(model.card)
    if not verdict.passed:
        return f"FAIL: {'; '.join(verdict.reasons)}"
    if "training_length" in model.card:
        return f"PASS; {model.card['training_length']['words']}"
    return (
        f"PASS; of fewer than {3 * FEWEST_EPOCHS} epochs it does not say whether they were enough"
    )


def picture(rows: list[dict]) -> Figure:
    """A panel for each training: loss of the batches, its straight line, validation loss, and the words."""
    figure = Figure(figsize=(3.1 * len(rows), 4.0), layout="constrained")
    for ax, row in zip(figure.subplots(1, len(rows), squeeze=False)[0], rows, strict=True):
        steps, (first, last) = np.array(row["steps_drawn"]), row["regression"]
        ax.plot(steps, row["losses_drawn"], color=BLUE, lw=0.4, label="training, batches")
        ends = [steps[0], row["steps"] - 1]
        ax.plot(ends, [first, last], color=ORANGE, lw=2, label="straight line")
        box = {"facecolor": "white", "alpha": 0.8, "lw": 0, "pad": 1}
        for at, value, side in zip(ends, (first, last), ("left", "right"), strict=True):
            place = {"xytext": (0, 6), "textcoords": "offset points", "ha": side, "bbox": box}
            ax.annotate(f"{value:.3g}", (at, value), color=ORANGE, **place)
        at = row["steps"] / row["epochs"] * np.arange(1, row["epochs"] + 1)
        seen = at >= steps[0]
        validation = np.array(row["validation"])[seen]
        ax.plot(at[seen], validation, color=BLACK, lw=1.2, label="validation")
        top = max(np.quantile(row["losses_drawn"], 0.99), validation.max())
        ax.set(title=f"{row['epochs']} epochs", ylim=(min(0, 2 * last), 1.15 * top), ylabel="loss")
        ax.set_xlabel(
            "step\n\n" + textwrap.fill(row["said"].replace(" %", "\u00a0%"), 40), fontsize="small"
        )
    figure.axes[-1].legend(fontsize="x-small", frameon=False)
    return figure


def came(short: dict, long: dict) -> str:
    """What the validation loss changed by when the epochs were doubled, geometric mean of the members."""
    return f"{100 * math.expm1(long['ln_ends'][1] - short['ln_ends'][1]):+.0f} %".replace("-", "−")


def report(store: dict) -> str:
    """The page."""
    rows = sorted(store["rows"].values(), key=lambda row: row["epochs"])
    twice = {a["epochs"]: came(a, b) for a, b in pairwise(rows) if b["epochs"] == 2 * a["epochs"]}
    lines = [HEAD.format(**store["about"])]
    for row in rows:
        first, last = row["regression"]
        training, validation = np.exp(row["ln_ends"])
        kept = row["kept_out"]
        lines.append(
            f"| {row['epochs']} | {row['steps']} | {first:.3g} → {last:.3g} "
            f"| {training:.2g} | {validation:.2g} | {kept['forces_mae_meV_per_Ang']:.1f} "
            f"| {kept['energy_mae_meV']:.0f} | {row['said']} | {twice.get(row['epochs'], '')} |"
        )
    return "\n".join(lines).replace("→ -", "→ −") + "\n"


HEAD = """# Was aspirin trained for long enough?

Written by `python -m benchmarks.aspirin_epochs`; do not edit. {frames} frames of rMD17 aspirin (energies and
forces), preset `fast`, {folds} members, {kept_out} frames kept out, {threads} thread. Losses have no units
(standardised loss). *Line*: straight line through the training loss of the batches of member 1 over the last
64 % of the steps, as in the report's Figs 1 and 2, whose reading is that a line that falls tells a training
that was too short. *Training*, *validation*: losses of the last epoch, geometric mean of the members; forces
(meV/Å) and energy (meV): MAE on the kept-out frames. *Twice the epochs*: what the validation loss then
changed by. Figure: `aspirin_epochs.png`.

| epochs | steps | line | training | validation | forces | energy | what the package says | twice the epochs |
|---:|---:|---|---:|---:|---:|---:|---|---:|"""


def main() -> None:
    """Train what is missing, and write the page and the picture."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path, nargs="?", metavar="DATA_DIR")
    parser.add_argument("-o", "--output", type=Path, metavar="DIR", help="for the trainings")
    parser.add_argument("--epochs", type=int, nargs="+", default=[*DRAWN, *ALSO])
    parser.add_argument("--frames", type=int, default=1000)
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--store", type=Path, default=STORE, help="default: %(default)s")
    parser.add_argument("--report", action="store_true", help="train nothing")
    args = parser.parse_args()
    store = json.loads(args.store.read_text()) if args.store.exists() else {"rows": {}}
    if not args.report:
        if args.data is None or args.output is None:
            parser.error("say where the data are and where to train, or --report")
        torch.set_num_threads(1)
        _train(args, store)
    args.store.with_suffix(".md").write_text(report(store))
    rows = [store["rows"][str(e)] for e in DRAWN if str(e) in store["rows"]]
    drawn = rows or list(store["rows"].values())
    save_figure(picture(drawn), args.store.with_suffix(".png"))


def _train(args: argparse.Namespace, store: dict) -> None:
    dataset = read_dataset([args.data / FILE])[0].subset(np.arange(args.frames))
    n_kept_out = round(KEPT_OUT * args.frames)
    about = {"frames": args.frames, "folds": args.folds, "kept_out": n_kept_out, "threads": 1}
    if store.setdefault("about", about) != about:
        raise SystemExit(f"{args.store} is of {store['about']}, not of {about}")
    plan = plan_folds(len(dataset), args.folds, n_kept_out=n_kept_out)
    for epochs in sorted(args.epochs):
        if str(epochs) in store["rows"]:
            continue
        directory = args.output / f"epochs_{epochs}"
        recipe = Recipe(PRESETS["fast"], LossWeights(), FitSettings(epochs), plan)
        model = trained(dataset, directory, recipe)
        store["rows"][str(epochs)] = row_of(model, directory)
        write_whole(args.store, json.dumps(store).encode())


if __name__ == "__main__":
    main()
