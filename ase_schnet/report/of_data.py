"""A model held against labelled structures: errors, error bars, and the structures on which it errs most."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ase_schnet.coverage import Coverage, coverage_of_bars
from ase_schnet.data.dataset import Dataset
from ase_schnet.data.seen import seen_in_training
from ase_schnet.evaluation import Comparison, compare
from ase_schnet.inference.engine import open_engine
from ase_schnet.inference.repulsion import DEFAULT_REPULSION
from ase_schnet.modelfile import TrainedModel
from ase_schnet.plotting import plot_parity
from ase_schnet.plotting.style import as_png
from ase_schnet.report.page import Picture, Section, Table, Text, Verdict
from ase_schnet.report.viewer import Property, Structures, evenly, thinned
from ase_schnet.training.report import calibration_lines, coverage_lines, error_lines
from ase_schnet.uncertainty.committee import committee_mean_std

#: Structures in the table of those on which a model errs most.
WORST = 10


class Judged(NamedTuple):
    """Hold S labelled structures and what a model makes of them.

    Attributes
    ----------
    errors
        By name, of each structure (S,): "energy error" (meV), "force error" (rms of the components of atoms
        with labels, meV/Å; NaN without any), and the std of the ensemble for both.
    atom_errors
        Length of the error of the force on each atom, (N,), meV/Å, 0 for one without a label; None without
        labels of forces.
    seen
        Which structures the model was trained on, (S,) bool; None if its card does not know.
    """

    model: TrainedModel
    data: Dataset
    comparison: Comparison
    covered: list[Coverage]
    errors: dict[str, NDArray]
    atom_errors: NDArray | None
    seen: NDArray | None


def judge(model: TrainedModel, data: Dataset) -> Judged:
    """Evaluate labelled structures; ValueError if they have no labels or are not for this model."""
    if data.E is None and data.F is None:
        raise ValueError(
            f"{data.source} has neither energies nor forces to compare with: label the structures with "
            "ase-schnet label, or leave the data out (--data)"
        )
    comparison = compare(open_engine(model, repulsion=DEFAULT_REPULSION), data)
    covered = coverage_of_bars(model, comparison, data) if model.n_members > 1 else []
    errors, atom_errors = _errors(comparison)
    seen = seen_in_training(model.card, data)
    return Judged(model, data, comparison, covered, errors, atom_errors, seen)


def _errors(comparison: Comparison) -> tuple[dict[str, NDArray], NDArray | None]:
    """Return errors and std by structure, and the errors of forces by atom (see `Judged`)."""
    found: dict[str, NDArray] = {}
    first, n_atoms = comparison.ptr[:-1], int(comparison.ptr[-1])
    ensemble, atom_errors = len(comparison.energies) > 1, None

    def rms(squares: NDArray, counted: NDArray) -> NDArray:  # (N, 3) and (N,) bool -> (S,) meV/Å
        total = np.add.reduceat(np.where(counted, squares.mean(axis=1), 0.0), first)
        number = np.add.reduceat(counted.astype(float), first)
        return 1000 * np.sqrt(total / np.where(number > 0, number, np.nan))

    every = np.ones(n_atoms, dtype=bool)
    labelled = every if comparison.labelled_atoms is None else comparison.labelled_atoms
    if comparison.reference_forces is not None and labelled.any():
        difference = comparison.forces.mean(axis=0) - comparison.reference_forces
        found["force error"] = rms(difference**2, labelled)
        atom_errors = np.where(labelled, 1000 * np.linalg.norm(difference, axis=1), 0.0)
    if comparison.reference_energies is not None:
        energies = comparison.energies.mean(axis=0)
        found["energy error"] = 1000 * (energies - comparison.reference_energies)
    if ensemble:
        found["forces_std"] = rms(committee_mean_std(comparison.forces)[1] ** 2, every)
        found["energy_std"] = 1000 * committee_mean_std(comparison.energies)[1]
    return found, atom_errors


def data_verdicts(judged: Judged) -> list[Verdict]:
    """Return what the errors on the data, and the error bars there, come to."""
    name, n = judged.data.source, len(judged.data)
    found = [
        Verdict(f"Errors on {name}", "NOTE", "; ".join(error_lines(judged.comparison.metrics())))
    ]
    seen = judged.seen
    if seen is not None and seen.any():
        words = (
            f"the model was trained on {seen.sum()} of these {n} structures: on others it errs more"
        )
        found.append(Verdict("Judged on its own training data", "INCONCLUSIVE", words))
    level = judged.model.card["intervals"]["level"] if judged.covered else None
    for each, line in zip(
        judged.covered, coverage_lines(judged.covered, level or 0.9), strict=True
    ):
        # the interval of the coverage, from resampled structures, decides
        outcome = "PASS" if each.high >= level else "FAIL"
        found.append(Verdict(f"Error bars of the {each.name}", outcome, line.split(None, 1)[1]))
    return found


def data_sections(judged: Judged, *, structures: bool) -> list[Section]:
    """Return parity, calibration and the structures with the largest errors."""
    level = judged.model.card["intervals"]["level"] if judged.covered else 0.9
    shows = (
        "Predictions against labels; the error found in bins of the std; how many errors lie within a "
        "multiple of the std (line) and within the error bars (point), against the probability stated."
    )
    blocks: list[Picture | Text] = [
        Picture(as_png(plot_parity(judged.comparison, judged.covered, level)), shows)
    ]
    if judged.model.n_members > 1:
        metrics = judged.comparison.metrics()
        calibration = {k: c.to_dict() for k, c in judged.comparison.calibration().items()}
        blocks.append(Text("\n".join(calibration_lines(calibration, metrics)), exact=True))
    return [Section("Held against the data", blocks), _worst(judged, structures)]


def _worst(judged: Judged, structures: bool) -> Section:
    """Return the structures with the largest errors as a table, and all of them to click through."""
    by = "force error" if "force error" in judged.errors else "energy error"
    order = np.argsort(-np.abs(judged.errors[by]))  # worst first
    units = {name: "meV/Å" if name.startswith("force") else "meV" for name in judged.errors}
    columns = ["structure", *(f"{name} ({units[name]})" for name in judged.errors)]
    rows = [[int(s), *(float(e[s]) for e in judged.errors.values())] for s in order[:WORST]]
    blocks: list[Text | Table | Structures] = [
        Text(
            f"The {len(rows)} structures of the data, counted from 0, with the largest {by} "
            "(of forces: root mean square over the components)."
        ),
        Table(columns, rows),
    ]
    if structures:
        blocks += _viewer(judged, order, by, units)
    return Section("Where it errs most", blocks)


def _viewer(
    judged: Judged, order: NDArray, by: str, units: dict[str, str]
) -> list[Text | Structures]:
    data = judged.data
    # of more structures than a page can show the worst half, and of the others as many, evenly spread
    most = len(thinned(len(data), int(data.n_atoms.max())))
    if most < len(data):
        rest = order[most // 2 :]
        order = np.concatenate([order[: most // 2], rest[evenly(len(rest), most - most // 2)]])
    shown = np.sort(order)
    properties = {"structure": Property(shown.astype(float), "", "number in the data, from 0")}
    properties |= {name: Property(e[shown], units[name]) for name, e in judged.errors.items()}
    of_atoms = {}
    if judged.atom_errors is not None:
        parts = [judged.atom_errors[data.ptr[s] : data.ptr[s + 1]] for s in shown]
        of_atoms["force error of the atom"] = Property(np.concatenate(parts), "meV/Å", "its length")
    std = "forces_std" if by == "force error" else "energy_std"
    x = std if std in properties else "structure"
    words = (
        f"{len(shown)} of {len(data)} structures; the one with the largest error is shown first. Click a "
        "point to see its structure"
        + ("; atoms are coloured by the error of their force." if of_atoms else ".")
    )
    frames = [data.atoms(int(s)) for s in shown]
    worst = int(np.flatnonzero(shown == order[0])[0])
    name = "Structures of the data"
    colour = "energy error" if "energy error" in properties else by
    viewer = Structures(name, frames, properties, of_atoms, x, by, colour, selected=worst)
    return [Text(words), viewer]
