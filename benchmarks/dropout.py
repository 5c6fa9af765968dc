"""Monte Carlo dropout beside an ensemble, as an error bar: `python -m benchmarks.dropout DATA_DIR`.

DATA_DIR holds rmd17-npz/. For each dropout rate one member is trained (preset fast, 500 epochs, the frames
and the validation part of member 1 of the ensemble) and kept in --work, where a training that was stopped
goes on. The ensemble is tests/models/ethanol_narrow: five networks without dropout on the same 1000 frames.
Results go to dropout.json, and from there into uncertainty.md, beside what `python -m
benchmarks.uncertainty` wrote.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from ase.io import read
from numpy.typing import NDArray
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from ase_schnet.data.dataset import Dataset
from ase_schnet.data.formats import read_labelled
from ase_schnet.data.pairs import sampled_distances
from ase_schnet.evaluation import compare
from ase_schnet.inference.ensemble import Ensemble
from ase_schnet.model.dropout import Dropout
from ase_schnet.model.potential import Potential, properties_of
from ase_schnet.modelfile import CARD, TrainedModel, load_model, save_model
from ase_schnet.runtime.files import write_whole
from ase_schnet.schnet_config import PRESETS
from ase_schnet.training.batches import BatchSource
from ase_schnet.training.loss import LossWeights
from ase_schnet.training.run import run_fit
from ase_schnet.training.settings import FitSettings
from ase_schnet.training.trainer import Fit
from ase_schnet.uncertainty.committee import calibrate_std
from ase_schnet.uncertainty.monte_carlo_dropout import dropout_samples
from benchmarks.dropout_section import STORE, write_section
from benchmarks.uncertainty import EXAMPLES, HYDROGEN, OXYGEN, STRETCHED, quintiles

HERE = Path(__file__).resolve().parent
WORK = HERE.parent / "md_examples" / "output" / "dropout"
NARROW = HERE.parent / "tests" / "models" / "ethanol_narrow"
RATES = (0.05, 0.2)
SAMPLES = (
    5,
    50,
)  # as many evaluations as the ensemble needs, and more than anybody runs dynamics with
EPOCHS = 500


def parts_of(data: Path) -> dict[str, Dataset]:
    """What is judged (kept out: to calibrate), and all frames that trainings were given."""
    training, test = (
        Dataset.from_atoms(
            read_labelled(data / "rmd17-npz" / f"rmd17_ethanol_{part}_01.npz", "kcal/mol")[0]
        )
        for part in ("train", "test")
    )
    return {
        "all": training,
        "kept out": training.subset(np.array(load_model(NARROW).card["training"]["kept_out"])),
        "test": test,
        "hot": Dataset.from_atoms(read(EXAMPLES / "ethanol_hot_pbe_def2svp.xyz", ":")),
        "scan": Dataset.from_atoms(read(EXAMPLES / "ethanol_oh_scan_pbe_def2svp.xyz", ":")),
    }


def trained(rate: float, dataset: Dataset, work: Path, epochs: int) -> TrainedModel:
    """Return the model of one member with dropout; train it, or go on, where it is not finished."""
    place = work / f"dropout_{rate:g}_{epochs}"
    if (place / CARD).exists():
        return load_model(place)
    work.mkdir(parents=True, exist_ok=True)
    training = load_model(NARROW).card["training"]
    validation = np.array(training["folds"][0])
    others = np.concatenate([training["kept_out"], validation])
    ours = np.setdiff1d(np.arange(len(dataset)), others)
    config = replace(PRESETS["fast"], dropout=rate)
    parts = dataset.subset(ours), dataset.subset(validation)
    fit = Fit(config, *parts, LossWeights(), FitSettings(epochs=epochs))
    checkpoint = place.with_suffix(".safetensors")
    potential = run_fit(fit, checkpoint, label=f"dropout {rate:g}").potential
    model = TrainedModel(
        config=config.to_dict(),
        elements=dataset.elements,
        energy_shift=potential.shift.numpy()[None],
        scale=np.array([potential.scale]),
        weights={k: t.numpy()[None] for k, t in potential.schnet.state_dict().items()},
        pbc=False,
        distance_ranges=sampled_distances(parts[0], config.cutoff),
    )
    save_model(place, model)
    checkpoint.unlink()
    return load_model(place)


Predicted = tuple[NDArray, NDArray]  # energies (M, S) in eV, forces (M, N, 3) in eV/Å


def by_engine(model: TrainedModel, data: Dataset) -> Predicted:
    """Predict with every member, or sample."""
    comparison = compare(Ensemble(model), data)
    return comparison.energies, comparison.forces


def by_atom(model: TrainedModel, n_samples: int, data: Dataset) -> Predicted:
    """Predict with other units left out in every atom, as training leaves them out, in float64."""
    potential = Potential(model.network, model.energy_shift[0], float(model.scale[0]))
    potential.schnet.load_state_dict({k: torch.tensor(w[0]) for k, w in model.weights.items()})
    source = BatchSource(data, model.network.cutoff, torch.float64)
    energies, forces = [], []
    for k in range(n_samples):
        dropout = Dropout(model.network.dropout, (k,))
        each = [
            properties_of(potential.double(), batch, dropout=dropout)
            for batch, _ in source.epoch(100)
        ]
        energies.append(torch.cat([p.energies for p in each]).numpy())
        forces.append(torch.cat([p.forces for p in each]).numpy())
    return np.stack(energies), np.stack(forces)


class Judged:
    """What M predictions say of a part of the data, and how wrong their mean is.

    std and error of the force on an atom are root mean squares of three components.
    """

    def __init__(self, predicted: Predicted, data: Dataset):
        energies, forces = predicted
        self.energy_std = energies.std(axis=0, ddof=1)  # (S,)
        self.std = np.sqrt(forces.var(axis=0, ddof=1).mean(axis=1))  # (N,)
        self.worst = self.std.reshape(len(data), -1).max(axis=1)  # (S,), all of one size
        if data.F is not None:
            off = forces.mean(axis=0) - data.F
            self.mae = float(np.abs(off).mean())
            self.error = np.sqrt((off**2).mean(axis=1))  # (N,)


def figures(parts: dict[str, Dataset], predict) -> dict:
    """All figures of one way to predict: errors, ranks, areas under the ROC curve, calibration."""
    judged = {n: Judged(predict(parts[n]), parts[n]) for n in ("kept out", "test", "hot", "scan")}
    test = judged["test"]
    scale = calibrate_std(judged["kept out"].error, judged["kept out"].std).scale
    fifths = [error / std for std, error in quintiles(scale * test.std, test.error)]
    positions = parts["scan"].R.reshape(len(parts["scan"]), -1, 3)
    bond = np.linalg.norm(positions[:, OXYGEN] - positions[:, HYDROGEN], axis=1)
    beyond = {"stretched": (judged["scan"], bond > STRETCHED)}
    beyond["hot"] = (judged["hot"], np.ones(len(parts["hot"]), dtype=bool))
    return {
        "forces_mae_meV_per_Ang": 1e3 * test.mae,
        "hot_forces_mae_meV_per_Ang": 1e3 * judged["hot"].mae,
        "scale": float(scale),
        "fifths": [float(f) for f in fifths],
        "spearman": float(spearmanr(test.std, test.error).statistic),
        "auroc": {
            name: {
                "energy": area(test.energy_std, other.energy_std[chosen]),
                "forces": area(test.worst, other.worst[chosen]),
            }
            for name, (other, chosen) in beyond.items()
        },
    }


def area(inside: NDArray, outside: NDArray) -> float:
    """Area under the ROC curve of telling `outside` from `inside` by the larger value."""
    truth = np.arange(len(inside) + len(outside)) >= len(inside)
    return float(roc_auc_score(truth, np.concatenate([inside, outside])))


def ways(rates: tuple[float, ...], parts: dict, work: Path, epochs: int) -> Iterator[tuple]:
    """Name, number of evaluations, and the predictions of a data set, of all that is compared."""
    ensemble = load_model(NARROW)
    yield "ensemble", ensemble.n_members, lambda data: by_engine(ensemble, data)
    for rate in rates:
        model = trained(rate, parts["all"], work, epochs)
        for n in SAMPLES:
            samples = dropout_samples(model, n)
            yield f"dropout {rate:g}", n, lambda data, s=samples: by_engine(s, data)
        n = SAMPLES[-1]
        each = f"dropout {rate:g}, by atom"
        yield each, n, lambda data, m=model, n=n: by_atom(m, n, data)


def single_errors(rates: tuple[float, ...], parts: dict, work: Path, epochs: int) -> dict:
    """Force MAE on the test part, meV/Å, of one network with all its units."""
    narrow = load_model(NARROW)
    models = {"no dropout": narrow.member(0)}
    models |= {f"dropout {r:g}": trained(r, parts["all"], work, epochs) for r in rates}
    return {
        name: 1e3 * float(np.abs(by_engine(m, parts["test"])[1][0] - parts["test"].F).mean())
        for name, m in models.items()
    }


def main(argv: list[str] | None = None) -> int:
    """Train what is missing, measure, write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.dropout", description=__doc__)
    parser.add_argument("data", type=Path, help="directory that holds rmd17-npz/")
    parser.add_argument("--work", type=Path, default=WORK, help="for trainings")
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--rates", type=float, nargs="+", default=RATES)
    parser.add_argument("--store", type=Path, default=STORE, help="the json")
    options = parser.parse_args(argv)
    torch.set_num_threads(1)
    parts = parts_of(options.data)
    what = tuple(options.rates), parts, options.work, options.epochs
    found = {"epochs": options.epochs, "one_network": single_errors(*what), "ways": []}
    for name, n, predict in ways(*what):
        found["ways"].append({"name": name, "evaluations": n, **figures(parts, predict)})
        print(json.dumps(found["ways"][-1]), flush=True)
    write_whole(options.store, json.dumps(found, indent=1).encode())
    if options.store == STORE:
        print(f"written: {write_section()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
