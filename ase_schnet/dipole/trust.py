"""What the errors of a fit say of its labels: another origin, charge or unit; nothing learnt at all."""

from __future__ import annotations

import numpy as np

from ase_schnet.dipole.basis import VOIGT
from ase_schnet.dipole.frame import centred
from ase_schnet.dipole.labels import misread_ratios
from ase_schnet.dipole.ridge import BLOCK
from ase_schnet.dipole.rpr import UNITS, RotatePredictRotate, full_tensor

# Twice this, in e, is the smallest slope that a mistake of origin, charge or unit makes: e·Å taken for Debye.
LEAST_SLOPE = 0.1
# So well is a slope known where sixty structures lie 0.03 Å apart; of those known the nearest is named.
NAMED, MOST_CHARGE = 0.08, 4
# The place of the molecule must explain this share of the squared errors, which chance does not give so many.
LEAST_SHARE, FEWEST = 0.5, 10
# Errors over the spread of the labels: a dozen structures suffice for 0.3, labels in a wrong order make 1.2.
WORST_RATIO = 0.5
# Errors below this share of the labels themselves are small, though the labels do not change at all.
SMALL = 1e-3


def require_origin(
    model: RotatePredictRotate,
    positions: np.ndarray,
    error: np.ndarray,
    labels: np.ndarray,
    labels_about: str | None,
) -> None:
    """Raise ValueError if dipoles depend on where the molecule lies as they must not.

    About the coordinate origin that of an ion grows by the charge times the centre of mass, which no
    function of the geometry can follow: what of it should not be there, or is missing, is left in the errors.
    Where the molecule stays in its place, or that is given by its geometry, nothing can be told.

    Parameters
    ----------
    positions : (S, N, 3) Å. error, labels : (S, 3) e·Å about the centre of mass, predictions minus labels,
        and these. labels_about : as for `fit.fit_rpr`.
    """
    masses = model.basis.masses
    moved = _varying(masses @ positions / masses.sum())  # (S, 3)
    left = _varying(error)
    shared = (left * moved).sum() ** 2
    if len(left) < FEWEST or shared <= LEAST_SHARE * (left**2).sum() * (moved**2).sum():
        return
    # What the fit has learnt is best taken out where the molecule moves little, fixed charges where it
    # moves so much that the fit learnt nothing: the slope of the two that leaves less.
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
        f"the dipoles {_what_they_are(total, model.charge)}; trust_labels=True takes them as they are"
    )


def _slope(values: np.ndarray, columns: np.ndarray) -> tuple[float, float]:
    """Coefficient of the last of columns (S, 3, C) for values (S, 3), and the squares that are left."""
    matrix, y = _varying(columns).reshape(values.size, -1), _varying(values).ravel()
    coefficients = np.linalg.lstsq(matrix, y, rcond=None)[0]
    return float(coefficients[-1]), float(((matrix @ coefficients - y) ** 2).sum())


def _varying(vectors: np.ndarray) -> np.ndarray:
    return vectors - vectors.mean(axis=0)


def _what_they_are(total: float, charge: int) -> str:
    """In words, of dipoles that change by `total` e·Å per Å of the centre of mass; with the cure."""
    origin = "labels_about='coordinate origin'"
    if abs(total) < LEAST_SLOPE:
        return (
            f"do not change with the place of the molecule, those of a charge of {charge:+d} about the "
            "coordinate origin would: say labels_about='centre of mass', or charge=0"
        )
    known = {float(n): (n, None) for n in range(-MOST_CHARGE, MOST_CHARGE + 1) if n}
    for n in (charge,) if charge else (1, -1):
        for units, ratio in misread_ratios("dipole").items():
            known[n * ratio] = (n, units)
    nearest = min(known, key=lambda slope: abs(slope - total))
    seen = f"change by {total:.2f} e with the centre of mass"
    if abs(nearest - total) > NAMED * abs(total):
        return (
            f"{seen}: those of a neutral molecule do not, those of an ion do by its charge where they are "
            "about the coordinate origin; correct charge, origin or unit"
        )
    n, units = known[nearest]
    seen += f", as those of an ion of charge {n:+d} about the coordinate origin do"
    say = [origin] if n == charge else [f"charge={n}", origin]
    if units is not None:
        seen += f" in {units[0]} read as {units[1]}"
        say.insert(0, f"units='eV, Ang, {units[0]}'")
    return f"{seen}: say {', '.join(say)}"


def require_use(
    model: RotatePredictRotate, error: np.ndarray, labels: np.ndarray, spread: float
) -> None:
    """Raise ValueError if a constant in the molecule's axes were about as good as the model.

    error, labels : (S, K), predictions minus labels, and these. spread : of `spread_in_axes`, in training.
    """
    rmse, size = np.sqrt(np.mean(error**2)), np.sqrt(np.mean(labels**2))
    if rmse <= max(WORST_RATIO * spread, SMALL * size):
        return
    unit = UNITS[model.quantity]
    origin = "are about another origin, " if model.quantity == "dipole" and model.charge else ""
    raise ValueError(
        f"the fit says nothing: its error on structures it has not seen, {rmse:.2g} {unit} (RMS), "
        f"is no better than {WORST_RATIO:g} times the spread of the labels in the molecule's axes, "
        f"{spread:.2g}. The labels are in other axes than the positions, {origin}belong to other structures, "
        f"charges or states, or {len(labels)} structures are too few; trust_labels=True takes them "
        "as they are"
    )


def spread_in_axes(model: RotatePredictRotate, positions: np.ndarray, labels: np.ndarray) -> float:
    """Standard deviation of labels (S, K) in the axes that follow the molecule, root mean square over K.

    positions : (S, N, 3) Å.
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
