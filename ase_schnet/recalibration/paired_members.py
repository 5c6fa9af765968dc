"""Make two members of each, with readouts moved apart until the members disagree as much as they err.

Members that were trained on nearly the same structures make the same errors, and their std is too small.
Member k becomes two, whose last layers are w_k + δ_k and w_k − δ_k. A prediction p is linear in that layer,
so that the mean over the members stays what it was, while their variance grows to

    s² = 2 Σ_k [(p_k − p̄)² + (g_k·δ_k)²] / (2M − 1),    g_k = ∂p_k/∂w_k.

The δ are those of the smallest negative log-likelihood ½ (r²/s² + ln s²) of Gaussian errors r of the mean, in
energies, forces and stresses (Kellner & Ceriotti, arXiv:2402.16621), with a prior whose covariance is that of
last-layer predictions (Bigi et al., arXiv:2403.02251). r is taken from the structures of the training, times
how much larger the errors of a member are on its own fold. How it does: benchmarks/silicon.md.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import scipy  # its optimize is loaded when first used
from numpy.typing import NDArray

from ase_schnet.data.dataset import Dataset
from ase_schnet.evaluation import Quantity, compare
from ase_schnet.inference.ensemble import Ensemble
from ase_schnet.modelfile import TrainedModel, load_model, save_model
from ase_schnet.recalibration.intervals import own_model, unseen_part
from ase_schnet.training.card import judge

#: Structures of the training that the readouts are fitted to, at most.
ENOUGH_STRUCTURES = 400
#: Values of derivatives kept in memory, at most: 400 MB.
MOST_VALUES = 100_000_000
#: Weight of the prior beside the mean of the likelihood over energies, forces and stresses.
PRIOR = 1 / 15
#: Share of its own size that is added to the covariance of a readout, for directions without data.
RIDGE = 1e-3
STEPS = 300


def pair_members(directory: str | Path, dataset: Dataset) -> TrainedModel:
    """Make two members of each member of a finished model, so that they disagree as much as they err.

    The means of the members, energies, forces and stresses, stay as they were; an evaluation takes twice as
    long. Errors, calibration and error bars in the card are those of the kept-out structures again.

    Parameters
    ----------
    directory
        The model directory.
    dataset
        The data of its training.

    Returns
    -------
    TrainedModel
        The model as it was written.

    Raises
    ------
    ValueError
        The data are not those of the training, the model has one member, or its members are pairs already.
        The model remains as it was.
    """
    model = own_model(directory)
    folds = _folds(model, dataset)
    kept_out = unseen_part(model, dataset)[0]
    used = _structures_to_fit(model, folds, dataset)
    growth = _growth(model, [np.intersect1d(fold, used) for fold in folds], dataset, used)
    part = dataset.subset(used)
    terms = _terms(model, part, growth)
    change = fitted_readouts(terms)
    paired = paired_model(model, change)
    card = {k: v for k, v in model.card.items() if k != "earlier_sha256"}
    entry = {"n_structures": len(used), "error_growth": growth}
    card |= {"paired_members": entry, **judge(paired, kept_out)}
    save_model(model.path, replace(paired, card=card))
    return load_model(model.path)


@dataclass(frozen=True, eq=False)
class Term:
    """Hold what the likelihood of one quantity needs, n values of it.

    Attributes
    ----------
    squared_errors
        (n,), of the mean of the members.
    squared_deviations
        (n,), Σ_k (p_k − p̄)² over the M members.
    derivatives
        (M, K, n) float32, of each member by the K weights of its last layer, the bias the last.
    """

    squared_errors: NDArray
    squared_deviations: NDArray
    derivatives: NDArray


def fitted_readouts(terms: list[Term], seed: int = 0) -> NDArray:
    """Return the changes δ (M, K) of the last layers for which the errors are the most likely.

    Parameters
    ----------
    terms
        Of each quantity; each counts the same.
    seed
        Of the changes that the search begins with, a draw of the prior.
    """
    axes = _axes(terms)  # (M, K, K): δ = axes·x, of which the prior is that of independent normal x
    shape = axes.shape[:2]

    def loss(flat: NDArray) -> tuple[float, NDArray]:
        x = flat.reshape(shape)
        change, total, slope = np.einsum("mij,mj->mi", axes, x), 0.0, np.zeros(shape)
        for term in terms:
            value, by_change = _likelihood(term, change)
            total, slope = total + value, slope + by_change
        slope = np.einsum("mij,mi->mj", axes, slope) / len(terms) + PRIOR * x
        return total / len(terms) + 0.5 * PRIOR * float(flat @ flat), slope.ravel()

    first = np.random.default_rng(seed).standard_normal(shape[0] * shape[1])
    options = {"maxiter": STEPS, "maxcor": 20, "ftol": 3e-7}
    found = scipy.optimize.minimize(loss, first, jac=True, method="L-BFGS-B", options=options)
    return np.einsum("mij,mj->mi", axes, found.x.reshape(shape))


def _likelihood(term: Term, change: NDArray) -> tuple[float, NDArray]:
    """Return the mean negative log-likelihood of a term, and its slope (M, K) by the changes."""
    n, freedom = len(term.squared_errors), 2 * len(change) - 1
    moved = np.matmul(change.astype(np.float32)[:, None], term.derivatives)[:, 0]  # (M, n)
    squares = np.einsum("mn,mn->n", moved, moved, dtype=float)
    variance = 2.0 * (term.squared_deviations + squares) / freedom
    ratio = term.squared_errors / variance
    by_moved = moved * ((1.0 - ratio) / variance * 2.0 / freedom)
    slope = np.matmul(term.derivatives, by_moved.astype(np.float32)[..., None])[..., 0]
    return 0.5 * float(np.mean(ratio + np.log(variance))), slope.astype(float) / n


def _axes(terms: list[Term]) -> NDArray:
    """Return (M, K, K): columns that change all quantities by as much as their errors, and independently."""
    covariance = np.mean(
        [
            np.matmul(t.derivatives, t.derivatives.swapaxes(1, 2)).astype(float)
            / t.squared_errors.sum()
            for t in terms
        ],
        axis=0,
    )
    diagonal = np.einsum("mii->mi", covariance)
    diagonal *= 1.0 + RIDGE
    values, vectors = np.linalg.eigh(covariance)
    without = values <= 1e-9 * values[:, -1:]  # such as the bias, where no energies are
    return vectors / np.sqrt(np.where(without, np.inf, values))[:, None]


def paired_model(model: TrainedModel, change: NDArray) -> TrainedModel:
    """Return the model with 2M members: all with + `change` (M, K) in their last layer, all with −."""
    weight, bias = _last_layer(model)
    twice = {name: np.concatenate([w, w]) for name, w in model.weights.items()}
    both = np.concatenate([change, -change]).astype(np.float32)
    twice[weight] = twice[weight] + both[:, None, :-1]
    twice[bias] = twice[bias] + both[:, -1:]
    return replace(
        model,
        energy_shift=np.concatenate([model.energy_shift] * 2),
        scale=np.concatenate([model.scale] * 2),
        element_scale=_twice(model.element_scale),
        weights=twice,
    )


def _twice(values: NDArray | None) -> NDArray | None:
    return None if values is None else np.concatenate([values, values])


def _last_layer(model: TrainedModel) -> tuple[str, str]:
    layer = model.network.readout_layers[-1]
    return f"{layer}.weight", f"{layer}.bias"


def _units(model: TrainedModel, member: int) -> TrainedModel:
    """Return a model whose K members predict the derivatives of one by the weights of its last layer."""
    one, (weight, bias) = model.member(member), _last_layer(model)
    k = one.weights[weight].shape[-1] + 1
    weights = {name: np.repeat(w, k, axis=0) for name, w in one.weights.items()}
    unit = np.eye(k, dtype=np.float32)
    weights[weight], weights[bias] = unit[:, None, :-1], unit[:, -1:]
    factors = one.element_scale
    return replace(
        one,
        energy_shift=np.zeros((k, one.energy_shift.shape[1])),
        scale=np.repeat(one.scale, k),
        element_scale=None if factors is None else np.repeat(factors, k, axis=0),
        weights=weights,
    )


def _terms(model: TrainedModel, dataset: Dataset, growth: dict[str, float]) -> list[Term]:
    """Return the terms of the likelihood, without values that symmetry holds at zero."""
    quantities = compare(Ensemble(model), dataset).quantities()
    some = [q.std > 0 for q in quantities]
    derivatives: list[list[NDArray]] = [[] for _ in quantities]
    for member in range(model.n_members):
        found = compare(Ensemble(_units(model, member)), dataset).quantities()
        for all_members, q, known in zip(derivatives, found, some, strict=True):
            all_members.append(q.members[:, known].astype(np.float32))
    return [
        Term(
            (growth[q.name] * q.error[known]) ** 2,
            ((q.members - q.mean) ** 2).sum(axis=0)[known],
            np.stack(each),
        )
        for q, known, each in zip(quantities, some, derivatives, strict=True)
        if known.any()
    ]


def _growth(
    model: TrainedModel, folds: list[NDArray], dataset: Dataset, used: NDArray
) -> dict[str, float]:
    """Return by quantity how much larger errors of members are on their own fold; at least 1."""
    own: dict[str, list[float]] = {}
    trained: dict[str, list[float]] = {}
    for k, fold in enumerate(folds):
        engine = Ensemble(model.member(k))
        for squares, part in ((own, fold), (trained, np.setdiff1d(used, fold))):
            if len(part):
                for q in compare(engine, dataset.subset(part)).quantities():
                    squares.setdefault(q.name, []).append(_mean_square(q))
    ratios = {name: np.mean(own[name]) / np.mean(trained[name]) for name in own}
    return {name: float(np.sqrt(max(1.0, ratio))) for name, ratio in ratios.items()}


def _mean_square(quantity: Quantity) -> float:
    return float(np.mean(quantity.error**2))


def _folds(model: TrainedModel, dataset: Dataset) -> list[NDArray]:
    """Return the fold of each member, which it was not trained on."""
    training = model.card.get("training", {})
    if "paired_members" in model.card:
        raise ValueError(f"the members of {model.path} are pairs already")
    if model.n_members < 2:
        raise ValueError(f"{model.path} has one member: pairs need at least two to begin with")
    folds = training.get("folds")
    if folds is None or training.get("data_fingerprint") != dataset.fingerprint():
        raise ValueError(
            f"members of {model.path} are paired by their errors on the data of their training: give all of "
            "these, and no others"
        )
    return [np.array(fold) for fold in folds]


def _structures_to_fit(model: TrainedModel, folds: list[NDArray], dataset: Dataset) -> NDArray:
    """Return the numbers of structures of the training, so few that the derivatives go into memory."""
    order = np.random.default_rng(0).permutation(np.concatenate(folds))[:ENOUGH_STRUCTURES]
    weights = model.weights[_last_layer(model)[0]]  # (M, 1, K)
    values = weights.size * (3 * dataset.n_atoms[order] + 7)
    return np.sort(order[np.cumsum(values) <= max(MOST_VALUES, values[0])])
