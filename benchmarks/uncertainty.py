"""Whether the ensemble's std can be believed: `python -m benchmarks.uncertainty`.

models/ethanol on the 1000 frames of `rmd17_ethanol_test_01.npz`, on hot frames and along the O–H bond, where
training had nothing; beside it what one network alone can say, the distance of an atom's features from
those of the training set. The std is calibrated on the kept-out part alone. Writes uncertainty.md and .png.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import torch
from ase.io import read
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter
from scipy.spatial import cKDTree
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from ase_schnet.data.dataset import Dataset
from ase_schnet.data.formats import read_labelled
from ase_schnet.evaluation import compare
from ase_schnet.inference.ensemble import Ensemble
from ase_schnet.model.schnet import SchNet, SchNetConfig
from ase_schnet.modelfile import TrainedModel, load_model
from ase_schnet.plotting import save_figure
from ase_schnet.training.batches import BatchSource
from ase_schnet.uncertainty.committee import calibrate_std
from benchmarks.dropout_section import section

HERE = Path(__file__).resolve().parent
DATA = HERE.parents[1] / "shared/data/rmd17-npz"
EXAMPLES = HERE.parent / "md_examples"
STRETCHED = 1.3  # Å of an O–H bond
OXYGEN, HYDROGEN = 2, 8
QUINTILES = 5


class Spread:
    """What the ensemble and one network say of every atom of a Dataset, and how wrong the ensemble is."""

    def __init__(self, model: TrainedModel, data: Dataset, features: FeatureDistance):
        comparison = compare(Ensemble(model), data)
        members = comparison.forces  # (M, N, 3)
        # the root mean square of three components: z-scores stay those of one
        self.std = np.sqrt(members.var(axis=0, ddof=1).mean(axis=1))  # (N,)
        self.energy_std = comparison.energies.std(axis=0, ddof=1)  # (S,)
        self.distance = features(data)  # (N,)
        self.error = None
        if data.F is not None:
            self.error = np.sqrt(((members.mean(axis=0) - data.F) ** 2).mean(axis=1))
        self._shape = (len(data), -1)

    def worst(self, per_atom: np.ndarray) -> np.ndarray:
        """Largest value of any atom of each structure, (S,)."""
        return per_atom.reshape(self._shape).max(axis=1)


class FeatureDistance:
    """Distance of each atom's features, as member 0 reads them out, to the nearest of the training set."""

    def __init__(self, model: TrainedModel, training: Dataset):
        self._net = SchNet(SchNetConfig(**model.config))
        state = {k: torch.as_tensor(w[0]) for k, w in model.weights.items()}
        self._net.load_state_dict(state)
        features = self._features(training)
        self._scale = features.std(axis=0)
        self._trees = {
            z: cKDTree((features / self._scale)[np.equal(training.Z, z)]) for z in training.elements
        }

    def __call__(self, data: Dataset) -> np.ndarray:
        """(N,), in standard deviations of the features."""
        features, distances = self._features(data) / self._scale, np.empty(len(data.Z))
        for z, tree in self._trees.items():
            chosen = np.equal(data.Z, z)
            distances[chosen] = tree.query(features[chosen])[0]
        return distances

    def _features(self, data: Dataset) -> np.ndarray:
        seen = []
        hook = self._net.readout_in.register_forward_pre_hook(lambda _, x: seen.append(x[0]))
        source = BatchSource(data, self._net.config.cutoff, torch.float32)
        with torch.no_grad():
            for batch, _ in source.epoch(50):
                self._net(batch)
        hook.remove()
        return torch.cat(seen).numpy().astype(float)


def quintiles(std: np.ndarray, error: np.ndarray) -> list[tuple[float, float]]:
    """Root mean squares of std and of error in fifths of the atoms, by std."""
    order = np.argsort(std)
    parts = np.array_split(order, QUINTILES)
    return [tuple(np.sqrt((v[part] ** 2).mean()) for v in (std, error)) for part in parts]


def main(argv: list[str] | None = None) -> int:
    """Measure, write, draw."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.uncertainty")
    parser.add_argument("--model", default="ethanol")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--output", type=Path, default=HERE)
    options = parser.parse_args(argv)
    model = load_model(options.model)
    training, test = (
        Dataset.from_atoms(
            read_labelled(options.data / f"rmd17_ethanol_{part}_01.npz", "kcal/mol")[0]
        )
        for part in ("train", "test")
    )
    kept_out = np.array(model.card["training"]["kept_out"])
    trained = np.setdiff1d(np.arange(len(training)), kept_out)
    features = FeatureDistance(model, training.subset(trained))
    sets = {
        "kept out": training.subset(kept_out),
        "test": test,
        "hot": Dataset.from_atoms(read(EXAMPLES / "ethanol_hot_pbe_def2svp.xyz", ":")),
        "scan": Dataset.from_atoms(read(EXAMPLES / "ethanol_oh_scan_pbe_def2svp.xyz", ":")),
    }
    spreads = {name: Spread(model, data, features) for name, data in sets.items()}
    calibration = calibrate_std(spreads["kept out"].error, spreads["kept out"].std)
    R = sets["scan"].R.reshape(len(sets["scan"]), -1, 3)
    bond = np.linalg.norm(R[:, OXYGEN] - R[:, HYDROGEN], axis=1)
    (options.output / "uncertainty.md").write_text(
        report(options.model, spreads, calibration.scale, bond)
    )
    print((options.output / "uncertainty.md").read_text())
    picture = draw(spreads, calibration.scale, bond)
    print(save_figure(picture, options.output / "uncertainty.png"))
    return 0


def report(name: str, spreads: dict[str, Spread], scale: float, bond: np.ndarray) -> str:
    """The file."""
    test, scan = spreads["test"], spreads["scan"]
    lines = [
        "# What the std is worth",
        "",
        f"Written by `python -m benchmarks.uncertainty`; do not edit. {time.strftime('%Y-%m-%d %H:%M %Z')};",
        f"models/{name}. Force on an atom: std and error as root mean square of three components, meV/Å.",
        f"Calibrated on the {len(spreads['kept out'].energy_std)} kept-out frames: std × {scale:.2f}.",
        "*Distance* is of the atom's features to the nearest atom of the training set, in the first member",
        "alone: free, but for a search.",
        "",
        "## Fifths of the test set's atoms, by std",
        "",
        "| fifth | calibrated std | error | error / std |",
        "|---:|---:|---:|---:|",
    ]
    for k, (std, error) in enumerate(quintiles(scale * test.std, test.error), 1):
        lines.append(f"| {k} | {1e3 * std:.1f} | {1e3 * error:.1f} | {error / std:.2f} |")
    lines += [
        "",
        "## Rank correlation (Spearman) with the force error of an atom",
        "",
        "| frames | n atoms | force MAE, meV/Å (rms of three) | std | distance |",
        "|---|---:|---:|---:|---:|",
    ]
    for part in ("test", "hot"):
        s = spreads[part]
        ranks = [spearmanr(v, s.error).statistic for v in (s.std, s.distance)]
        lines.append(
            f"| {part} | {len(s.std)} | {1e3 * s.error.mean():.1f} | {ranks[0]:.2f} | {ranks[1]:.2f} |"
        )
    lines += [
        "",
        "## Telling what training never saw from the test set (area under the ROC curve)",
        "",
        "By the atom of a structure for which the value is largest.",
        "",
        "| frames | n | energy std | force std | distance |",
        "|---|---:|---:|---:|---:|",
    ]
    stretched = bond > STRETCHED
    hot = np.ones(len(spreads["hot"].energy_std), dtype=bool)
    for what, s, chosen in (
        (f"O–H beyond {STRETCHED} Å", scan, stretched),
        ("1500 K", spreads["hot"], hot),
    ):
        areas = []
        for value in (
            lambda x: x.energy_std,
            lambda x: x.worst(x.std),
            lambda x: x.worst(x.distance),
        ):
            values = np.concatenate([value(test), value(s)[chosen]])
            truth = np.arange(len(values)) >= len(test.energy_std)
            areas.append(roc_auc_score(truth, values))
        lines.append(f"| {what} | {chosen.sum()} | " + " | ".join(f"{a:.3f}" for a in areas) + " |")
    found = section()
    return "\n".join(lines) + "\n" + (f"\n{found}" if found else "")


def draw(spreads: dict[str, Spread], scale: float, bond: np.ndarray) -> Figure:
    """Error against calibrated std in fifths; both measures along the O–H bond."""
    figure = Figure(figsize=(9, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    for part, colour in (("test", "#0072B2"), ("hot", "#D55E00")):
        s = spreads[part]
        points = 1e3 * np.array(quintiles(scale * s.std, s.error))
        left.loglog(*points.T, "o-", color=colour, label=part)
    for axis in (left.xaxis, left.yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter(NullFormatter())
    ends = np.array(left.get_xlim())
    left.fill_between(ends, 0.75 * ends, 1.25 * ends, color="0.9", label="± 25 %")
    left.plot(ends, ends, color="0.5", lw=0.8)
    left.set(xlabel="calibrated std  (meV/Å)", ylabel="error of the force on an atom  (meV/Å)")
    left.legend(frameon=False)
    scan, test = spreads["scan"], spreads["test"]
    for values, colour, label in (
        ("std", "#0072B2", "std of the ensemble"),
        ("distance", "#E69F00", "feature distance, one network"),
    ):
        reference = np.median(test.worst(getattr(test, values)))
        right.semilogy(
            bond, scan.worst(getattr(scan, values)) / reference, color=colour, label=label
        )
    right.axvline(STRETCHED, color="0.5", lw=0.8, ls=":")
    right.set(xlabel="O–H distance  (Å)", ylabel="over the median of the test set")
    right.legend(frameon=False)
    return figure


if __name__ == "__main__":
    sys.exit(main())
