"""What the card of a converted model says of its accuracy: labels, our engines, one structure to check."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.data import covalent_radii

from ase_schnet.data.dataset import Dataset
from ase_schnet.evaluation import Quantity, compare
from ase_schnet.foreign.records import ForeignModelError
from ase_schnet.inference.ensemble import Ensemble
from ase_schnet.inference.torch_ensemble import TorchEnsemble
from ase_schnet.trained_model import TrainedModel
from ase_schnet.training.card import COMPARED, self_check_entry, tables_accuracy
from ase_schnet.units import ENERGY_UNITS, LENGTH_UNITS

MOST = 1000  # structures held against their labels
FOLLOWS = 0.9  # correlation of forces from which on their size tells a unit
TRIED = 20  # structures that tell how often a pair was listed


def judged(model: TrainedModel, dataset: Dataset) -> dict:
    """Return errors of the labels of up to 1000 structures, ``labels``; nothing where there are no labels."""
    if dataset.E is None and dataset.F is None:
        return {}
    comparison = compare(Ensemble(model), _some(dataset, MOST))
    found: dict = {**comparison.metrics(), "source": dataset.source}
    for quantity in comparison.quantities():
        correlation = _correlation(quantity)
        if correlation is not None and len(quantity.reference) > 2:
            found[f"{quantity.name}_correlation"] = correlation
        if quantity.name == "forces":
            _require_units(quantity)
            found["forces_rms_eV_per_Ang"] = float(np.sqrt((quantity.reference**2).mean()))
        if quantity.name == "energy":
            found["energy_unit"] = quantity.unit
            found["energy_offset"] = offset = 1000.0 * float(np.median(quantity.error))
            found["energy_mae_without_offset"] = float(
                np.abs(1000.0 * quantity.error - offset).mean()
            )
    return {"labels": found}


def _require_units(forces: Quantity) -> None:
    """Refuse a model whose forces follow the labels, but as several times their size."""
    correlation = _correlation(forces)
    if correlation is None:
        return
    size = float((forces.mean * forces.reference).sum() / (forces.mean**2).sum())
    if correlation > FOLLOWS and not 0.5 < size < 2.0:
        units = "; ".join(
            f"units='{energy}, {length}' would multiply them by {factor:.4g}"
            for energy, e in ENERGY_UNITS.items()
            for length, a in LENGTH_UNITS.items()
            if abs((factor := e / a) / size - 1.0) < 0.1
        )
        raise ForeignModelError(
            f"the labels are {size:.4g} times the model's forces, which otherwise follow them: its units are "
            f"others than said" + (f" (of a model said to be in eV, Å: {units})" if units else "")
        )


def _correlation(quantity: Quantity) -> float | None:
    """Return the correlation of predictions and labels; None where all are equal, as forces on free atoms."""
    if np.ptp(quantity.mean) == 0.0 or np.ptp(quantity.reference) == 0.0:
        return None
    return float(np.corrcoef(quantity.mean, quantity.reference)[0, 1])


def forces_correlation(model: TrainedModel, dataset: Dataset) -> float | None:
    """Return the correlation of the forces of some structures with their labels; None where all are equal."""
    comparison = compare(Ensemble(model), _some(dataset, TRIED))
    forces = next(quantity for quantity in comparison.quantities() if quantity.name == "forces")
    return _correlation(forces)


def self_checked(model: TrainedModel, dataset: Dataset | None) -> dict:
    """Return ``self_check`` and ``tables`` of a card.

    Without a data set they rest on one made-up molecule.
    """
    some = _some(_made_up(model) if dataset is None else dataset, COMPARED)
    network = TorchEnsemble(model)
    return {
        "tables": tables_accuracy(compare(Ensemble(model), some), compare(network, some)),
        "self_check": self_check_entry(network, some.subset(np.array([0]))),
    }


def _some(dataset: Dataset, n: int) -> Dataset:
    """Return up to n structures, evenly taken from all."""
    if len(dataset) <= n:
        return dataset
    return dataset.subset(np.linspace(0, len(dataset) - 1, n).round().astype(int))


def _made_up(model: TrainedModel) -> Dataset:
    """Return a zigzag chain of all elements, at bond lengths of their covalent radii."""
    numbers = np.array([*model.elements, model.elements[0]])
    steps = covalent_radii[numbers][1:] + covalent_radii[numbers][:-1]
    x = np.append(0.0, np.cumsum(steps * np.sqrt(0.75)))
    y = np.append(0.0, np.cumsum(steps * 0.5 * (-1.0) ** np.arange(len(steps))))
    positions = np.stack([x, y, 0.1 * np.arange(len(x))], axis=1)
    return Dataset.from_atoms([Atoms(numbers, positions)])
