"""What is trained, in which order, and one training: a directory that is complete or can be gone on with."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from ase_schnet import PRESETS, Dataset, FitSettings, LossWeights, SchNetCalculator, read_labelled
from ase_schnet.augment.moves import RandomMoves, Stretches
from ase_schnet.augment.settings import Augmentation
from ase_schnet.data.pairs import sampled_distances
from ase_schnet.data.splits import random_split
from ase_schnet.modelfile import CARD, TrainedModel, load_model, save_model
from ase_schnet.runtime.files import write_whole
from ase_schnet.training.run import run_fit
from ase_schnet.training.trainer import Fit

HERE = Path(__file__).resolve().parent
SHARED = HERE.parents[2] / "shared" / "data"
OUTPUT = HERE.parent / "output" / "augmentation"
DATA = {  # file of the training frames, of the test frames, units
    "rmd17": ("rmd17-npz/rmd17_ethanol_train_01.npz", "rmd17-npz/rmd17_ethanol_test_01.npz", None),
    "nff": ("nff-ethanol/ethanol_ccsd_t-train.npz", None, "kcal/mol"),
}
TEMPERATURE_K = 500.0
N_VALIDATION = 50
SEEDS = (0, 1, 2)


@dataclass(frozen=True)
class Variant:
    """One way to augment; rule None is the control, epsilon None with a rule stretches bonds."""

    name: str
    rule: str | None = None
    epsilon: float | None = None
    weight: float = 1.0
    chosen: bool = False  # stretches: by the ensemble of the controls; else at random
    epochs: int = 100
    preset: str = "fast"

    def augmentation(self, data: str, seed: int) -> Augmentation | None:
        """The setting of a training."""
        if self.rule is None:
            return None
        if self.epsilon is not None:
            moves = RandomMoves(epsilon_Ang=self.epsilon)
        elif self.chosen:
            moves = Stretches(ensemble=SchNetCalculator(str(ensemble(data, "control"))))
        else:
            moves = Stretches()
        return Augmentation(self.rule, moves, TEMPERATURE_K, self.weight, seed)


VARIANTS = {
    v.name: v
    for v in (
        Variant("control"),
        Variant("literal-0.5", "literal", 0.5),
        Variant("first-order-0.5", "first-order", 0.5),
        Variant("delta-0.5", "delta", 0.5),
        Variant("stretch", "delta"),
        Variant("literal-0.5-w0.1", "literal", 0.5, 0.1),
        Variant("first-order-0.5-w0.1", "first-order", 0.5, 0.1),
        Variant("delta-0.5-w0.1", "delta", 0.5, 0.1),
        Variant("stretch-w0.1", "delta", None, 0.1),
        Variant("stretch-w0.01", "delta", None, 0.01),
        Variant("chosen-stretch-w0.1", "delta", None, 0.1, chosen=True),
        Variant("literal-0.5-w0.01", "literal", 0.5, 0.01),
        *(Variant(f"literal-{e}", "literal", e) for e in (0.2, 0.11, 0.05, 0.01)),
        *(Variant(f"first-order-{e}", "first-order", e) for e in (0.2, 0.05)),
        Variant("weighted-0.5", "weighted", 0.5),
        Variant("control-500", epochs=500),
        Variant("chosen-stretch-w0.1-500", "delta", None, 0.1, chosen=True, epochs=500),
    )
}
#: The network of the paper, and preset fast beside it: see paper_network.py.
PAPER_EPOCHS = 200
NETWORKS = {
    v.name: v
    for preset in ("fast", "nff")
    for v in (
        Variant(preset, epochs=PAPER_EPOCHS, preset=preset),
        *(
            Variant(f"{preset}-literal-{e}", "literal", e, epochs=PAPER_EPOCHS, preset=preset)
            for e in (0.05, 0.5)
        ),
    )
}
FULL = ("literal-0.5", "first-order-0.5", "delta-0.5")
LIGHT = ("delta-0.5-w0.1", "first-order-0.5-w0.1", "literal-0.5-w0.1")
#: Recommended if it holds: three seeds before anything else is refined.
BEST = "chosen-stretch-w0.1"

#: (data, variant, seed), the most telling first.
_ORDER = [
    *(("rmd17", name, 0) for name in ("control", *FULL)),
    *(("rmd17", "control", seed) for seed in (1, 2)),
    *(("rmd17", name, seed) for name in ("stretch-w0.1", BEST) for seed in SEEDS),
    *(("rmd17", name, 0) for name in LIGHT),
    *(("rmd17", name, 0) for name in ("stretch", "stretch-w0.01", "literal-0.5-w0.01")),
    *(("rmd17", name, seed) for seed in (1, 2) for name in (*LIGHT, *FULL)),
    *(("nff", name, 0) for name in ("control", *FULL)),
    *(("nff", "control", seed) for seed in (1, 2)),
    *(("nff", BEST, seed) for seed in SEEDS),
    *(("rmd17", name, 0) for name in VARIANTS),
]
JOBS = list(dict.fromkeys(_ORDER))


def check_settings() -> None:
    """Note the defaults that the trainings use. Raises SystemExit where what lies there had others."""
    config, loss, fit = PRESETS["fast"].to_dict(), asdict(LossWeights()), asdict(FitSettings())
    now = json.loads(json.dumps({"config": config, "loss": loss, "fit": fit}))
    path = OUTPUT / "settings.json"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, json.dumps(now, indent=1).encode())
    if json.loads(path.read_text()) != now:
        raise SystemExit(
            f"{OUTPUT} was trained with other defaults: move it away, or use that version"
        )


def directory(data: str, name: str, seed: int) -> Path:
    """Where a training lies: checkpoint, then model, then measurements."""
    return OUTPUT / data / name / f"seed_{seed}"


def read(data: str) -> tuple[Dataset, Dataset | None]:
    """Structures to train on and, of rMD17, to test on."""
    train, test, units = DATA[data]
    parts = [read_labelled(SHARED / path, units)[0] for path in (train, test) if path]
    packed = [Dataset.from_atoms(frames, source=data) for frames in parts]
    return packed[0], packed[1] if test else None


def split(data: str, dataset: Dataset, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Indices to train on, to validate on, and (of nff, which has no test file) to test on."""
    n_test = 0 if DATA[data][1] else 100
    training, validation = random_split(len(dataset) - n_test, N_VALIDATION, seed)
    return training, validation, np.arange(len(dataset) - n_test, len(dataset))


def train(data: str, name: str, seed: int) -> Path:
    """Train and write the model; a training that was cut off goes on."""
    where, variant = directory(data, name, seed), (VARIANTS | NETWORKS)[name]
    if (where / "model" / CARD).exists():
        return where
    where.mkdir(parents=True, exist_ok=True)
    dataset, _ = read(data)
    training, validation, _ = split(data, dataset, seed)
    augmentation = variant.augmentation(data, seed)
    config = PRESETS[variant.preset]
    fit = Fit(
        config,
        dataset.subset(training),
        dataset.subset(validation),
        LossWeights(),
        FitSettings(epochs=variant.epochs, seed=seed),
        augmented=None if augmentation is None else augmentation(dataset, training),
    )
    potential = run_fit(
        fit, where / "checkpoint.safetensors", label=f"{data} {name} {seed}"
    ).potential
    state = potential.schnet.state_dict()
    model = TrainedModel(
        config=config.to_dict(),
        elements=dataset.elements,
        energy_shift=potential.shift.numpy()[None],
        scale=np.array([potential.scale]),
        weights={key: tensor.numpy()[None] for key, tensor in state.items()},
        pbc=False,
        distance_ranges=sampled_distances(dataset.subset(training), config.cutoff),
        card={
            "augmentation": None if augmentation is None else augmentation.to_dict(),
            "history": fit.history,
        },
    )
    save_model(where / "model", model)
    (where / "checkpoint.safetensors").unlink()
    return where


def ensemble(data: str, name: str) -> Path:
    """The seeds' models as one."""
    where = OUTPUT / data / name / "ensemble"
    members = [load_model(train(data, name, seed) / "model") for seed in SEEDS]
    if not (where / CARD).exists():
        first = members[0]
        joined = replace(
            first,
            energy_shift=np.concatenate([m.energy_shift for m in members]),
            scale=np.concatenate([m.scale for m in members]),
            weights={k: np.concatenate([m.weights[k] for m in members]) for k in first.weights},
            card={},
        )
        save_model(where, joined)
    return where
