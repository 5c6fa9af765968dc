"""What a cross-validation writes into the model card besides the weights."""

from __future__ import annotations

import platform
import re
import shlex
from datetime import UTC, datetime

import ase
import numpy as np
import torch

from ase_schnet import __version__
from ase_schnet.data.dataset import Dataset
from ase_schnet.data.seen import seen_entry
from ase_schnet.data.statistics import label_statistics
from ase_schnet.evaluation import Comparison, compare
from ase_schnet.inference.ensemble import Ensemble
from ase_schnet.inference.torch_ensemble import TorchEnsemble
from ase_schnet.modelfile import TrainedModel
from ase_schnet.neighbors import half_list
from ase_schnet.training.length import change_per_doubling
from ase_schnet.training.metrics import losses_per_structure
from ase_schnet.training.result import FitResult
from ase_schnet.training.trainer import Fit
from ase_schnet.uncertainty.conformal import NoIntervals, fit_intervals

COMPARED = 20  # kept-out structures on which the two engines are compared


def fold_entry(fit: Fit, result: FitResult) -> dict:
    """Return what the card says of a fold: the loss over its structures, and how the fit went."""
    losses = losses_per_structure(result.potential, fit.validation, fit.loss)
    return {
        "seed": fit.settings.seed,
        "loss_min": float(losses.min()),
        "loss_max": float(losses.max()),
        "loss_mean": float(losses.mean()),
        "loss_std": float(losses.std(ddof=1)) if len(losses) > 1 else 0.0,
        "loss_median": float(np.median(losses)),
        "epoch": result.epoch,
        "epochs": fit.epoch,
        "steps": fit.step,
        "recoveries": fit.recoveries,
        # by `fit_offsets`, since forces alone leave them open
        "offsets_fitted": fit.weights.energy == 0 and fit.training.dataset.E is not None,
        "change_per_doubling": _change_per_doubling(fit, result),
        "history": _thinned(result.history),
        "validation": result.validation.to_dict(),
    }


def _change_per_doubling(fit: Fit, result: FitResult) -> float | None:
    """Return what twice the epochs would change; None where that was not tried.

    Beside augmented structures, and with dropout, whose training loss is that of a thinned network.
    """
    untried = fit.augmented or fit.potential.config.dropout > 0
    return None if untried else change_per_doubling(result.history, fit.settings)


def judge(model: TrainedModel, kept_out: Dataset) -> dict:
    """Return errors, spread and calibration on structures that no member saw."""
    compiled, network = Ensemble(model), TorchEnsemble(model)
    comparison = compare(compiled, kept_out)
    some = kept_out.subset(np.arange(min(len(kept_out), COMPARED)))
    return {
        "kept_out": comparison.metrics(),
        "kept_out_std": comparison.spread(),
        "calibration": {k: c.to_dict() for k, c in comparison.calibration().items()},
        "intervals": _intervals(comparison, kept_out.source),
        "tables": tables_accuracy(comparison, compare(network, some)),
        "self_check": self_check_entry(network, kept_out.subset(np.array([0]))),
    }


def _intervals(comparison: Comparison, source: str) -> dict | None:
    """Return the error bars that the kept-out structures allow, None where they allow none."""
    try:
        return {**fit_intervals(comparison.residuals()).to_dict(), "source": source}
    except NoIntervals:
        return None


def tables_accuracy(compiled: Comparison, network: Comparison) -> dict:
    """Return the largest differences, eV and eV/Å, between the compiled engine and the network.

    Parameters
    ----------
    compiled
        Of the compiled engine, which has splines as filters. It may hold more structures, after the others.
    network
        Of the network itself.
    """
    n_structures, n_atoms = network.energies.shape[1], network.forces.shape[1]
    return {
        "n_structures": n_structures,
        "energy_max_difference_eV": float(
            np.abs(compiled.energies[:, :n_structures] - network.energies).max()
        ),
        "forces_max_difference_eV_per_Ang": float(
            np.abs(compiled.forces[:, :n_atoms] - network.forces).max()
        ),
    }


def _thinned(history: list[dict], points: int = 60) -> dict[str, list]:
    """Return about `points` rows of the history of a fit as columns, to draw."""
    rows = history[:: max(1, len(history) // points)]
    names = (
        "epoch",
        "training_loss",
        "validation_loss",
        "validation_energy_mae_meV",
        "validation_forces_mae_meV_per_Ang",
        "validation_stress_mae_meV_per_Ang3",
    )
    return {name: [row[name] for row in rows] for name in names}


def self_check_entry(engine: TorchEnsemble, structure: Dataset) -> dict:
    """Return one structure with the energies of the members and the mean forces, to be computed again."""
    pairs = half_list(
        structure.R, engine.model.config["cutoff"], structure.cells[0], structure.pbc[0]
    )
    prediction = engine.evaluate(structure.Z, structure.R, pairs)
    return {
        "numbers": structure.Z.tolist(),
        "positions_Ang": structure.R.tolist(),
        "cell_Ang": structure.cells[0].tolist(),
        "pbc": structure.pbc[0].tolist(),
        "energies_eV": prediction.energies.tolist(),
        "forces_eV_per_Ang": prediction.forces.mean(axis=0).tolist(),
    }


def without_folders(provenance: dict) -> dict:
    """Return what is known of the origin of a training as a card says it, which others read.

    Of each absolute path in the command its last name stays: the folders are those of one machine, and files
    have their sha256 beside.
    """
    try:
        words = shlex.split(provenance["command"])
    except (KeyError, ValueError):  # from Python, where it may be missing, or any text
        return provenance
    names = [re.sub(r"(^|[=, ])/(?:[^=,]*/)?(?=[^/])", r"\1", word.rstrip("/")) for word in words]
    return {**provenance, "command": shlex.join(names)}


def conditions(
    dataset: Dataset, fingerprint: str, kept_out: np.ndarray, seen_before: str | None
) -> dict:
    """Return the data and the versions that a training used; `kept_out` are numbers of structures.

    `seen_before` are the structures of the model that the members started from, see `seen_entry`.
    """
    statistics = label_statistics(dataset)
    return {
        "source": dataset.source,
        "units_in_source": dataset.units,
        "data_fingerprint": fingerprint,
        "seen": seen_entry(dataset, kept_out, seen_before),
        "n_structures": len(dataset),
        "species_shifts_undetermined": statistics.undetermined,
        "label_scale_eV": statistics.scale(np.array(dataset.elements)),
        "versions": {
            "ase_schnet": __version__,
            "torch": torch.__version__,
            "numpy": np.__version__,
            "ase": ase.__version__,
            "python": platform.python_version(),
        },
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }
