"""NeuralForceField's published ethanol model against its labels: `python -m benchmarks.foreign.nff_ethanol`.

The package is not on PyPI, so the converted model is held against `nff_plain.py`, the same function in plain
torch, and against all 1000 labels of its tutorial (CCSD(T)/cc-pVTZ). Which of them it was trained on nobody
recorded: the tutorial splits them 600 : 200 : 200 without a seed, so random draws of 200 stand for its test
set. Writes nff_ethanol.json; the page is foreign.md. About two minutes.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np
import torch

from ase_schnet import ConversionHints, convert_model
from ase_schnet.evaluation import compare
from ase_schnet.inference.ensemble import Ensemble
from ase_schnet.inference.torch_ensemble import TorchEnsemble
from ase_schnet.runtime.files import write_whole
from ase_schnet.trained_model import TrainedModel
from ase_schnet.units import ENERGY_UNITS
from benchmarks.foreign.compare import DATA, HERE, write_page
from benchmarks.foreign.nff_plain import energies_and_forces, weights_of

MODEL = DATA / "foreign-schnets/nff_cco_1.best_model"
LABELS = DATA / "nff-ethanol/ethanol_ccsd_t-train.npz"
OTHER = DATA / "md17-ethanol/ethanol_first2000.npz"  # PBE+TS
FIRST = 60  # frames of the note that says 0.976 (energies)
DRAWS, DRAWN = 2000, 200


def main() -> None:
    """Compute, write."""
    torch.set_num_threads(1)
    weights, data = weights_of(MODEL), np.load(LABELS)
    numbers, positions = data["z"].astype(int), data["R"]
    labels = (data["E"].ravel(), data["F"])
    plain = energies_and_forces(weights, numbers, positions)
    result = {
        "largest_distance_Ang": float(
            np.linalg.norm(positions[:, :, None] - positions[:, None], axis=-1).max()
        ),
        "all": statistics(plain, labels),
        "first": {"n": FIRST, **statistics(*(head(x, FIRST) for x in (plain, labels)))},
        "draws": draws(plain[0], labels[0]),
        "times": {
            str(times): statistics(
                energies_and_forces(weights, numbers, positions, times=times), labels
            )
            for times in (1.0, 1.5, 1.75, 2.25, 2.5, 3.0)
        },
        "cutoffs": {
            str(cutoff): statistics(
                energies_and_forces(weights, numbers, positions, cutoff=cutoff), labels
            )
            for cutoff in (3.0, 4.0, 4.5)
        },
    }
    other = np.load(OTHER)
    few = energies_and_forces(weights, numbers, other["R"][::2])
    result["PBE+TS"] = statistics(few, (other["E"].ravel()[::2], other["F"][::2]))
    with tempfile.TemporaryDirectory() as folder:
        hints = ConversionHints(cutoff=5.0, pair_list="twice")
        said = {"elements": ["H", "C", "O"], "hints": hints}
        model = convert_model(MODEL, Path(folder) / "model", **said).model
        result["converted"] = differences(model, plain)
    write_whole(HERE / "nff_ethanol.json", (json.dumps(result, indent=1) + "\n").encode())
    write_page()


def head(pair: tuple[np.ndarray, np.ndarray], n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return energies and forces of the first n structures."""
    return pair[0][:n], pair[1][:n]


def statistics(
    predicted: tuple[np.ndarray, np.ndarray], labels: tuple[np.ndarray, np.ndarray]
) -> dict:
    """Return correlations, slopes, and mean absolute errors in the labels' units, offset removed."""
    result = {}
    for name, a, b in zip(("energy", "forces"), predicted, labels, strict=True):
        a, b = a.ravel(), b.ravel()
        offset = np.mean(a - b) if name == "energy" else 0.0
        result[name] = {
            "correlation": float(np.corrcoef(a, b)[0, 1]),
            "slope": float(np.polyfit(b, a, 1)[0]),
            "mae": float(np.abs(a - b - offset).mean()),
        }
    return result


def draws(energies: np.ndarray, labels: np.ndarray) -> dict:
    """Return the correlation of energies over random draws of as many frames as the tutorial tests on."""
    rng = np.random.default_rng(0)
    drawn = [rng.choice(len(labels), DRAWN, replace=False) for _ in range(DRAWS)]
    found = np.array([np.corrcoef(energies[k], labels[k])[0, 1] for k in drawn])
    low, middle, high = np.percentile(found, [2.5, 50.0, 97.5])
    return {
        **{"low": low, "median": middle, "high": high},
        "share_above_0.975": float((found >= 0.975).mean()),
    }


def differences(model: TrainedModel, plain: tuple[np.ndarray, np.ndarray]) -> dict:
    """Return how far our engines are from the plain network, in eV and eV/Å."""
    from ase_schnet.data.formats import read_dataset

    dataset, unit = read_dataset(LABELS, "kcal/mol")[0], ENERGY_UNITS["kcal/mol"]
    result = {}
    for name, engine in (("network", TorchEnsemble(model)), ("compiled", Ensemble(model))):
        found = {q.name: np.array(q.mean) for q in compare(engine, dataset).quantities()}
        result[name] = {
            "energy_eV": float(np.abs(found["energy"].ravel() - unit * plain[0]).max()),
            "forces_eV_per_Ang": float(
                np.abs(found["forces"].ravel() - unit * plain[1].ravel()).max()
            ),
        }
    return result


if __name__ == "__main__":
    main()
