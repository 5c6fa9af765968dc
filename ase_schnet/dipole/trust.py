"""Checks of labels by the errors of a fit: another origin, charge or unit, or nothing that can be learnt."""

from __future__ import annotations

import numpy as np

from ase_schnet.dipole.basis import VOIGT
from ase_schnet.dipole.frame import centred
from ase_schnet.dipole.labels import misread_ratios
from ase_schnet.dipole.ridge import BLOCK
from ase_schnet.dipole.rpr import UNITS, RotatePredictRotate, full_tensor

# Half of the smallest slope, e, that a mistake of origin, charge or unit makes (e·Å read as Debye).
LEAST_SLOPE = 0.1
# Relative error of a slope from sixty structures that lie 0.03 Å apart; largest charge that is named.
NAMED, MOST_CHARGE = 0.08, 4
# Share of the squared errors that the place of the molecule must explain, and fewest structures.
LEAST_SHARE, FEWEST = 0.5, 10
# Errors over the spread of the labels: above this, nothing was learnt (benchmarks/defaults.md).
WORST_RATIO = 0.5
# Errors below this share of the labels are small, even if the labels do not vary.
SMALL = 1e-3


def require_origin(
    model: RotatePredictRotate,
    positions: np.ndarray,
    error: np.ndarray,
    labels: np.ndarray,
    labels_about: str | None,
) -> None:
    """Raise ValueError if dipoles depend on the place of the molecule: wrong origin, charge or unit.

    About the coordinate origin the dipole of an ion grows by the charge times the centre of mass. No
    function of the geometry can follow that, so a wrong term of this kind remains in the errors. Nothing can
    be found where the molecule does not move, or where its place is a function of its geometry.

    Parameters
    ----------
    model
        The fitted model.
    positions
        (S, N, 3) Å.
    error
        Predictions minus labels, (S, 3) e·Å.
    labels
        About the centre of mass, (S, 3) e·Å.
    labels_about
        As for `fit.fit_rpr`.
    """
    masses = model.basis.masses
    moved = _varying(masses @ positions / masses.sum())  # (S, 3)
    left = _varying(error)
    shared = (left * moved).sum() ** 2
    if len(left) < FEWEST or shared <= LEAST_SHARE * (left**2).sum() * (moved**2).sum():
        return
    # Two estimates of the slope: from the errors of the fit, good where the molecule moves little; and from
    # the labels beside fixed charges, good where it moves so much that nothing was learnt. The better one
    # counts.
    charges = model.basis.linear(centred(positions, masses))
    both = (
        _slope(-left, moved[..., None]),
        _slope(labels, np.append(charges, moved[..., None], 2)),
    )
    slope, _ = min(both, key=lambda found: found[1])
    if abs(slope) < LEAST_SLOPE:
        return
    about_origin = model.charge != 0 and labels_about == "coordinate origin"
    total = slope + model.charge * about_origin
    raise ValueError(
        f"the dipoles {_what_they_are(total, model.charge)}; trust_labels=True accepts them as they are"
    )


def _slope(values: np.ndarray, columns: np.ndarray) -> tuple[float, float]:
    """Return the coefficient of the last of columns (S, 3, C) for values (S, 3), and the squared residual."""
    matrix, y = _varying(columns).reshape(values.size, -1), _varying(values).ravel()
    coefficients = np.linalg.lstsq(matrix, y, rcond=None)[0]
    return float(coefficients[-1]), float(((matrix @ coefficients - y) ** 2).sum())


def _varying(vectors: np.ndarray) -> np.ndarray:
    """Return vectors without their mean."""
    return vectors - vectors.mean(axis=0)


def _what_they_are(total: float, charge: int) -> str:
    """Return in words, with the cure, what dipoles are that change by `total` e·Å per Å of the centre."""
    origin = "labels_about='coordinate origin'"
    if abs(total) < LEAST_SLOPE:
        return (
            f"do not change with the place of the molecule, but those of a charge of {charge:+d} about the "
            "coordinate origin would: give labels_about='centre of mass', or charge=0"
        )
    known = {float(n): (n, None) for n in range(-MOST_CHARGE, MOST_CHARGE + 1) if n}
    for n in (charge,) if charge else (1, -1):
        for units, ratio in misread_ratios("dipole").items():
            known[n * ratio] = (n, units)
    nearest = min(known, key=lambda slope: abs(slope - total))
    seen = f"change by {total:.2f} e with the centre of mass"
    if abs(nearest - total) > NAMED * abs(total):
        return (
            f"{seen}: those of a neutral molecule do not change, those of an ion about the coordinate origin "
            "change by its charge; correct charge, origin or unit"
        )
    n, units = known[nearest]
    seen += f", as those of an ion of charge {n:+d} about the coordinate origin do"
    say = [origin] if n == charge else [f"charge={n}", origin]
    if units is not None:
        seen += f" in {units[0]} read as {units[1]}"
        say.insert(0, f"units='eV, Ang, {units[0]}'")
    return f"{seen}: give {', '.join(say)}"


def require_use(
    model: RotatePredictRotate, error: np.ndarray, labels: np.ndarray, spread: float
) -> None:
    """Raise ValueError if a constant in the axes of the molecule would be about as good as the model.

    Parameters
    ----------
    model
        The fitted model.
    error
        Predictions minus labels, (S, K).
    labels
        The labels, (S, K).
    spread
        Of `spread_in_axes`, in training.
    """
    rmse, size = np.sqrt(np.mean(error**2)), np.sqrt(np.mean(labels**2))
    if rmse <= max(WORST_RATIO * spread, SMALL * size):
        return
    unit = UNITS[model.quantity]
    origin = "are about another origin, " if model.quantity == "dipole" and model.charge else ""
    raise ValueError(
        f"the fit is useless: its error on structures that it was not fitted to, {rmse:.2g} {unit} (RMS), "
        f"is above {WORST_RATIO:g} times the spread of the labels in the axes of the molecule, "
        f"{spread:.2g}. The labels are in other axes than the positions, {origin}belong to other structures, "
        f"charges or states, or {len(labels)} structures are too few; trust_labels=True "
        "accepts them as they are"
    )


def spread_in_axes(model: RotatePredictRotate, positions: np.ndarray, labels: np.ndarray) -> float:
    """Return the standard deviation of labels in the axes that follow the molecule, RMS over components.

    Parameters
    ----------
    model
        The model with the axes.
    positions
        (S, N, 3) Å.
    labels
        (S, K).
    """
    basis, turned = model.basis, []
    for start in range(0, len(positions), BLOCK):
        block = slice(start, start + BLOCK)
        r = centred(positions[block], basis.masses)
        axes = basis.copies(r)[0][np.arange(len(r)), basis.nearest_copy(r)]  # (S, 3, 3)
        if basis.rank == 1:
            turned.append(np.einsum("sij,sj->si", axes, labels[block]))
        else:
            tensors = axes @ full_tensor(labels[block]) @ axes.swapaxes(1, 2)
            turned.append(tensors[:, VOIGT[0], VOIGT[1]])
    return float(np.sqrt(np.mean(_varying(np.concatenate(turned)) ** 2)))
