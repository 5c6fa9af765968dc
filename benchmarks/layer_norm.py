"""Does layer norm on the features help? `python -m benchmarks.layer_norm --work DIR` writes layer_norm.md.

The plain network (preset fast) with a layer norm (arXiv:1607.06450) on the features of every atom, at the
entry of each interaction block and of the read-out, against the same without: aspirin (rMD17), three seeds.
Both are trained by the package's own fit, but by the plain route: autograd makes the forces and is
differentiated once more. Nothing of it is in the package: the compiled engines know no layer norm.

Each fit goes on from its checkpoint in DIR; layer_norm.json keeps what is finished.
"""

from __future__ import annotations

import argparse
import json
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ase_schnet.data.dataset import Dataset
from ase_schnet.data.formats import read_dataset
from ase_schnet.data.statistics import LabelStatistics
from ase_schnet.model.batch import AtomsBatch, pair_distances
from ase_schnet.model.potential import Potential, Properties
from ase_schnet.model.schnet import SchNet
from ase_schnet.model.tabulated import Tabulated
from ase_schnet.runtime.files import write_whole
from ase_schnet.schnet_config import PRESETS, SchNetConfig
from ase_schnet.training.batches import Labels
from ase_schnet.training.loss_weights import LossWeights
from ase_schnet.training.run import run_fit
from ase_schnet.training.settings import FitSettings
from ase_schnet.training.start import RandomStart
from ase_schnet.training.streaming import source_of
from ase_schnet.training.trainer import Fit

HERE = Path(__file__).resolve().parent
DATA = HERE.parents[1] / "shared/data/rmd17-npz"
RESULTS = HERE / "layer_norm.json"
SEEDS = (0, 1, 2)
COUNTS = (600, 100, 300)  # frames to train, to validate, to test
EPOCHS = 150
WITH, WITHOUT = "layer norm", "without"


class NormalisedSchNet(SchNet):
    """SchNet with a layer norm of the features before each interaction block and before the read-out."""

    def __init__(self, config: SchNetConfig):
        super().__init__(config)
        n = config.n_interactions + 1
        self.norms = nn.ModuleList(nn.LayerNorm(config.n_atom_basis) for _ in range(n))

    def forward(self, batch: AtomsBatch, dropout: None = None) -> Tensor:
        """Return atomic energies (N,), in units of the potential's scale; there is no dropout."""
        distances = pair_distances(batch)  # (P,)
        envelope = self.envelope(distances)  # (P,)
        x = self.embedding(batch.Z)  # (N, B)
        blocks = zip(self.interactions, self.norms, self.expand(distances), strict=False)
        for interaction, norm, rbf in blocks:
            x = x + interaction(norm(x), rbf, envelope, batch)
        x = self.norms[-1](x)
        for layer in self.hidden_readout:
            x = self.readout_activation.value(layer(x))
        return self.readout_out(x)[:, 0]  # (N, 1) -> (N,)


class NormalisedStart(RandomStart):
    """Draw the same weights as `RandomStart`; the layer norms begin as they are."""

    def potential(self, training: Dataset, statistics: LabelStatistics) -> Potential:
        """Return the potential with layer norms."""
        plain = super().potential(training, statistics)
        normalised = NormalisedSchNet(self.config)
        normalised.load_state_dict(plain.schnet.state_dict(), strict=False)
        plain.schnet = normalised
        return plain


class Plain(Tabulated):
    """Evaluate the plain network, whose forces autograd makes, where a fit has the tabulated one."""

    def properties(self, batch: AtomsBatch, **wanted: bool) -> Properties:
        """Return what the potential does."""
        return self.potential.properties(batch, **wanted)


class PlainFit(Fit):
    """Train the plain network in place of the tabulated one."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.model, self.averaged = (Plain(p, self._grid) for p in (self.potential, self.average))


def main(argv: list[str] | None = None) -> int:
    """Train what is missing, write the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.layer_norm")
    parser.add_argument(
        "--work", type=Path, help="where checkpoints go; without it nothing is trained"
    )
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    options = parser.parse_args(argv)
    done = json.loads(options.results.read_text()) if options.results.exists() else {}
    if options.work is not None:
        torch.set_num_threads(1)
        for seed in SEEDS:
            for kind in (WITHOUT, WITH):
                key = f"{kind} {seed}"
                if key not in done:
                    done[key] = trained(kind, seed, options)
                    write_whole(options.results, (json.dumps(done, indent=1) + "\n").encode())
                    print(key, done[key], flush=True)
    write_whole(options.results.with_suffix(".md"), markdown(done, options.epochs).encode())
    return 0


def parts(path: Path, seed: int) -> list[Dataset]:
    """Training, validation and test part."""
    whole = read_dataset([path])[0]
    order = np.random.default_rng(seed).permutation(len(whole))
    ends = np.cumsum((0, *COUNTS))
    return [whole.subset(np.sort(order[a:b])) for a, b in pairwise(ends)]


def trained(kind: str, seed: int, options: argparse.Namespace) -> dict:
    """Errors on the test frames of one member, and what it took."""
    training, validation, test = parts(options.data / "rmd17_aspirin_train_01.npz", seed)
    settings = FitSettings(epochs=options.epochs, seed=seed)
    config = PRESETS["fast"]
    start = (NormalisedStart if kind == WITH else RandomStart)(config, seed)
    fit = PlainFit(config, training, validation, LossWeights(), settings, start=start)
    place = options.work / f"{kind.replace(' ', '_')}_{seed}"
    place.parent.mkdir(parents=True, exist_ok=True)
    log = place.with_suffix(".csv")
    result = run_fit(fit, place.with_suffix(".safetensors"), log=log, label=place.name)
    source = source_of(test, config.cutoff, torch.float32, "cpu")
    errors = [_errors(result.potential, batch, labels) for batch, labels in source.epoch(50)]
    energy, forces = (np.abs(np.concatenate(e)).mean() for e in zip(*errors, strict=True))
    return {
        "energy_mae_meV": 1000 * float(energy),
        "forces_mae_meV_per_Ang": 1000 * float(forces),
        "validation_loss": result.validation.loss,
        "training_loss": fit.history[-1]["training_loss"],
        "recoveries": list(fit.recoveries),
    }


def _errors(
    potential: Potential, batch: AtomsBatch, labels: Labels
) -> tuple[np.ndarray, np.ndarray]:
    got = potential.properties(batch, forces=True)
    energy = (got.energies - labels.E).detach().numpy()
    return energy, (got.forces - labels.F).detach().numpy().ravel()


#: What is compared -> in words.
MEASURES = {
    "forces_mae_meV_per_Ang": "error of the forces",
    "energy_mae_meV": "error of the energies",
    "validation_loss": "validation loss",
    "training_loss": "training loss",
}


def markdown(done: dict[str, dict], epochs: int) -> str:
    """The page."""
    lines = [
        "# Layer norm on the features",
        "",
        "Written by `python -m benchmarks.layer_norm --work DIR`; do not edit. Aspirin (rMD17), one member",
        f"of preset `fast`, {COUNTS[0]} frames, {epochs} epochs, Muon; MAE on {COUNTS[2]} frames that",
        "neither trained nor validated it. A layer norm of the features of each atom before every",
        "interaction block and before the read-out, against the same weights without. Both by the plain",
        "network and autograd.",
        "",
        "| seed | | forces, meV/Å | energies, meV | validation loss | training loss | diverged epochs |",
        "|---:|---|---:|---:|---:|---:|---:|",
    ]
    for seed in SEEDS:
        for kind in (WITHOUT, WITH):
            if r := done.get(f"{kind} {seed}"):
                lines.append(
                    f"| {seed} | {kind} | {r['forces_mae_meV_per_Ang']:.1f} | {r['energy_mae_meV']:.1f} | "
                    f"{r['validation_loss']:.3g} | {r['training_loss']:.3g} | {len(r['recoveries'])} |"
                )
    return "\n".join([*lines, "", *_verdict(done)]) + "\n"


def _verdict(done: dict[str, dict]) -> list[str]:
    both = [s for s in SEEDS if {f"{WITH} {s}", f"{WITHOUT} {s}"} <= set(done)]
    if not both:
        return []
    said = []
    for name, word in MEASURES.items():
        ratio = [done[f"{WITH} {s}"][name] / done[f"{WITHOUT} {s}"][name] for s in both]
        change = 100 * (np.array(ratio) - 1)
        error = change.std(ddof=1) / np.sqrt(len(both)) if len(both) > 1 else np.nan
        mean = f"{change.mean():+.1f}".replace("-", "−")
        said.append(f"the {word} by {mean} ± {error:.1f} %")
    seeds = f"(mean and its error over {len(both)} seeds)"
    return [f"Layer norm changes {', '.join(said)}", f"{seeds}."]


if __name__ == "__main__":
    sys.exit(main())
