"""Fit a dipole or polarizability model to labelled structures by ridge regression, in seconds.

The Gaussians sit on training structures in their axes; the coefficients minimise squared errors
plus a penalty, which is the norm of the kernel (kernel ridge regression in the subspace of the
centres). Their width and the strength of the penalty are those with the least error on held-out folds.
Each member of the ensemble is fitted without one fold.
"""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np

from ase_schnet.data.dataset import Dataset
from ase_schnet.data.splits import twins_of
from ase_schnet.dipole.basis import VOIGT, Basis
from ase_schnet.dipole.frame import least_gap
from ase_schnet.dipole.labels import check_charge, check_size, labels_of, misread, one_molecule
from ase_schnet.dipole.placement import place_basis
from ase_schnet.dipole.ridge import BLOCK, Whitening, best_penalty, best_width, gram
from ase_schnet.dipole.rpr import RANKS, RotatePredictRotate
from ase_schnet.dipole.settings import RPRSettings
from ase_schnet.dipole.trust import require_origin, require_use, spread_in_axes

SEARCH_FRAMES = 1000  # for the choice of the width


def fit_rpr(
    dataset: Dataset,
    quantity: str = "dipole",
    *,
    charge: int = 0,
    labels_about: str | None = None,
    settings: RPRSettings | None = None,
    trust_labels: bool = False,
) -> RotatePredictRotate:
    """Fit a model of the dipole (e·Å) or the polarizability (e²Å²/eV) of one molecule.

    Parameters
    ----------
    dataset
        Structures of the same atoms in the same order, not periodic, all with the label. Their places and
        orientations are free.
    quantity
        "dipole" or "polarizability".
    charge
        Total charge, e.
    labels_about
        Origin of the dipoles of an ion in `dataset`: "centre of mass" or "coordinate origin". Those of the
        model are about the centre of mass.
    settings
        Members, centres and seed; None: the defaults.
    trust_labels
        Fit also labels that would be refused as wrong.

    Returns
    -------
    RotatePredictRotate
        The ensemble.

    Raises
    ------
    ValueError
        If labels are missing, structures differ in their atoms or are periodic, there are fewer than two
        structures per member, or a charge has no origin. Unless `trust_labels`, also if dipoles are too
        large, belong to another charge, origin or unit, or cannot be fitted: see `dipole.trust`.
    """
    settings = settings or RPRSettings()
    numbers, positions, labels = _checked(dataset, quantity, charge, labels_about, settings)
    order, folds = _divided(dataset, settings)
    positions, labels = positions[order], labels[order]
    basis = place_basis(positions, numbers, RANKS[quantity], settings)
    basis, penalty, coefficients, linear = _solve(basis, positions, labels, folds)
    model = RotatePredictRotate(quantity, numbers, basis, coefficients, linear, charge)
    record = {
        **asdict(settings),
        "n_structures": len(positions),
        "data": dataset.source,
        "data_sha256": dataset.fingerprint(),
        "labels_about": labels_about if charge else None,
        "penalty": penalty,
        "n_exchanges": len(basis.orders),
        "least_gap_of_moments": least_gap(positions, basis.masses),
    }
    return _judged(replace(model, training=record), positions, labels, folds, trust_labels)


def _judged(
    model: RotatePredictRotate,
    positions: np.ndarray,
    labels: np.ndarray,
    folds: list[np.ndarray],
    trust_labels: bool,
) -> RotatePredictRotate:
    """Return the model with its held-out errors on record; ValueError if the labels (S, K) are wrong."""
    held_out = _held_out_errors(model, positions, labels, folds)
    spread = spread_in_axes(model, positions, labels)
    if not trust_labels:
        about = model.training["labels_about"]
        _require_trust(model, positions, held_out, labels, about, spread)
    figures = {
        "labels_std_per_component": spread,
        "held_out_MAE_per_component": float(np.mean(np.abs(held_out))),
        "held_out_RMSE_per_component": float(np.sqrt(np.mean(held_out**2))),
    }
    return replace(model, training=model.training | figures)


def _checked(
    dataset: Dataset,
    quantity: str,
    charge: int,
    labels_about: str | None,
    settings: RPRSettings,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return numbers (N,), positions (S, N, 3) and labels (S, K); ValueError where they allow no fit."""
    numbers, positions = one_molecule(dataset, quantity)
    labels = labels_of(dataset, positions, numbers, quantity, charge, labels_about)
    check_charge(dataset, charge)
    n, n_members = len(positions), settings.n_members
    if n_members < 2 or n < 2 * n_members:
        raise ValueError(
            f"{n} structures are too few for {n_members} members: at least 2 members are "
            "needed, and at least 2 structures for each"
        )
    return numbers, positions, labels


def _divided(dataset: Dataset, settings: RPRSettings) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return the structures in random order, (S,), and the folds as places in it.

    Structures that are the same, see `twins_of`, are in one fold if enough differ: else a member would be
    judged, and the penalty chosen, by what it was fitted to.
    """
    order = np.random.default_rng(settings.seed).permutation(len(dataset))
    drawn = twins_of(dataset)[order]
    _, first, group = np.unique(drawn, return_index=True, return_inverse=True)
    together = np.argsort(first[group], kind="stable")
    number = np.unique(first[group][together], return_inverse=True)[1]  # (S,), rising
    if number[-1] + 1 < 2 * settings.n_members:  # as of a single atom
        number = np.arange(len(order))
    folds = np.array_split(np.arange(number[-1] + 1), settings.n_members)
    return order[together], [np.flatnonzero(np.isin(number, fold)) for fold in folds]


def _solve(
    basis: Basis, positions: np.ndarray, labels: np.ndarray, folds: list[np.ndarray]
) -> tuple[Basis, float, np.ndarray, np.ndarray]:
    """Choose the width and the penalty, and solve for the coefficients of the members.

    Parameters
    ----------
    basis
        Basis with a first width.
    positions
        (S, N, 3), Å, in random order.
    labels
        (S, K).
    folds
        Indices of the structures that each member leaves out.

    Returns
    -------
    tuple
        Basis with the width, penalty, coefficients and linear part, as `RotatePredictRotate` wants them.
    """
    scale = np.sqrt(np.mean(labels**2)) or 1.0
    labels, few = labels / scale, slice(SEARCH_FRAMES)
    width, penalty = best_width(basis, positions[few], labels[few], len(folds))
    basis = replace(basis, width=width)
    whiten = Whitening(basis)
    grams = [gram(basis, whiten, positions[f], labels[f]) for f in folds]
    penalty, _, weights = best_penalty(grams, at_most=penalty)
    coefficients, linear = whiten.back(scale * weights)
    return basis, penalty, coefficients, linear


def _as_in_training(
    model: RotatePredictRotate, numbers: np.ndarray, positions: np.ndarray
) -> np.ndarray:
    """Return positions (S, N, 3) with the atoms in the order of the model, which is found by the bonds.

    Where bonds give no order, as in an ion between two shapes, the order of the data is kept.
    """
    found, order = positions.copy(), None
    for k, r in enumerate(positions):
        order = model.order_of(numbers, r, order)
        if order is None:
            model.require(numbers)
        else:
            found[k] = r[order]
    return found


def errors(
    model: RotatePredictRotate,
    dataset: Dataset,
    labels_about: str | None = None,
    *,
    trust_labels: bool = True,
) -> np.ndarray:
    """Return the errors of the mean of the members: (S, 3) e·Å, or (S, 6) e²Å²/eV in Voigt order.

    Parameters
    ----------
    model
        The ensemble.
    dataset
        Labelled structures of its molecule.
    labels_about
        As for `fit_rpr`; None: as in training.
    trust_labels
        Accept labels that `fit_rpr` would refuse.

    Raises
    ------
    ValueError
        For labels or structures that are missing or cannot be used, for another molecule, and for labels that
        `fit_rpr` would refuse unless `trust_labels`.
    """
    numbers, positions = one_molecule(dataset, model.quantity)
    labels_about = labels_about or model.training.get("labels_about")
    labels = labels_of(dataset, positions, numbers, model.quantity, model.charge, labels_about)
    predicted = model.predict_many(_as_in_training(model, numbers, positions)).mean(axis=0)
    if model.quantity == "polarizability":
        predicted = predicted[:, VOIGT[0], VOIGT[1]]
    error = predicted - labels
    spread = model.training.get("labels_std_per_component", np.inf)
    if not trust_labels:
        found = misread(labels, predicted, model.quantity)
        if found is not None:
            true, read, ratio = found
            raise ValueError(
                f"the {model.quantity} is {ratio:.2f} times that of the model, as if labels in {true} "
                f"were read as {read}"
            )
        _require_trust(model, positions, error, labels, labels_about, spread)
    return error


def _require_trust(
    model: RotatePredictRotate,
    positions: np.ndarray,
    error: np.ndarray,
    labels: np.ndarray,
    labels_about: str | None,
    spread: float,
) -> None:
    """Raise ValueError if errors (S, K) at positions (S, N, 3) show that the labels (S, K) are wrong."""
    if model.quantity == "dipole":
        require_origin(model, positions, error, labels, labels_about)
        check_size(labels, positions, model.charge)
    require_use(model, error, labels, spread)


def _held_out_errors(
    model: RotatePredictRotate, positions: np.ndarray, labels: np.ndarray, folds: list[np.ndarray]
) -> np.ndarray:
    """Return the errors of each member on the fold that it was fitted without, (S, K)."""
    errors = []
    for member, fold in enumerate(folds):
        for block in np.array_split(fold, -(-len(fold) // BLOCK)):
            values = model.basis.expand(
                positions[block],
                model.coefficients[..., member : member + 1],
                model.linear[:, member : member + 1],
            )[..., 0]
            errors.append(values - labels[block])
    return np.concatenate(errors)
