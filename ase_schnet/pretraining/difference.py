"""The difference of two methods as a data set: what a network has to learn beside a cheap method."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from ase_schnet.data.dataset import Dataset
from ase_schnet.data.statistics import energies_about_their_composition
from ase_schnet.labelling.label import label_structures
from ase_schnet.labelling.methods import Reference, whole_electrons
from ase_schnet.runtime.files import naming
from ase_schnet.training.recipe import Recipe

#: Root mean square of a structure's forces, and distance of its energy from the others, over the usual ones,
#: above which it counts less. Five times the median is 3.4 standard deviations.
LOUD, LOUD_ENERGY = 2.0, 5.0

#: Charge and multiplicity of all structures; None where each states its own.
Electrons = tuple[int | None, int | None]


def difference_of(
    dataset: Dataset,
    reference: Reference,
    path: Path,
    *,
    electrons: Electrons = (None, None),
    jobs: int | None = None,
    take_over: bool = False,
) -> tuple[Dataset, NDArray]:
    """Return the labels of `dataset` minus those of a method, and which structures have them.

    Parameters
    ----------
    dataset
        Structures with energies and forces.
    reference
        The method that is subtracted.
    path
        File of its labels, from which an interrupted call goes on.
    electrons
        Charge and multiplicity of all structures; None: what each states.
    jobs
        Processes; None: all cores.
    take_over
        Count a process of another host that labels into `path` as dead.

    Returns
    -------
    tuple
        The differences, and the numbers of their structures in `dataset`, (K,).

    Raises
    ------
    InputError
        The method can describe none of the structures.
    ValueError
        The data lack energies or forces, or have stress and the method gives none.

    Warns
    -----
    UserWarning
        For structures that the method fails on; they are left out.
    """
    require_difference(dataset, reference, electrons)
    frames = frames_of(dataset, *electrons)
    with naming(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
    result = label_structures(frames, reference, path, jobs=jobs, take_over=take_over)
    kept = np.setdiff1d(np.arange(len(dataset)), list(result.failures))
    if result.failures:
        first, why = next(iter(result.failures.items()))
        warnings.warn(
            f"{len(result.failures)} of {len(dataset)} structures have no label of "
            f"{reference.level_of_theory} and are left out (structure {first}: {why})",
            stacklevel=2,
        )
    return minus(dataset.subset(kept), Dataset.from_atoms(result.frames), reference), kept


def require_difference(dataset: Dataset, reference: Reference, electrons: Electrons) -> None:
    """Refuse data without energies or forces (ValueError), or that a method cannot describe (InputError)."""
    if dataset.E is None or dataset.F is None:
        raise ValueError("the difference to a method needs energies and forces of the data")
    first = frames_of(dataset.subset(np.array([0])), *electrons)[0]
    reference.require_supported(first, *whole_electrons(first))


def minus(dear: Dataset, cheap: Dataset, reference: Reference) -> Dataset:
    """Return the labels of `dear` minus those of `cheap`, the same structures by `reference`.

    Raises ValueError where only `dear` has stress.
    """
    stress = dear.stress
    if stress is not None:
        if cheap.stress is None:
            raise ValueError(
                f"{reference.level_of_theory} gives no stress: train without, with stress_weight=0"
            )
        stress = stress - cheap.stress
    return replace(dear, E=dear.E - cheap.E, F=dear.F - cheap.F, stress=stress)


def quiet_weights(dataset: Dataset) -> NDArray:
    """Return weights of structures, (S,), with which none of large labels outweighs all others.

    Those whose mean square of the force components is above LOUD² times the median, or whose energy is
    farther from the others of its composition than LOUD_ENERGY times the median, have no larger part in a sum
    of squares than one at that limit; the others have 1. A bond at two thirds of its length, where two
    methods differ by 10 eV/Å, would have the part of a thousand structures of a run.
    """
    squares = dataset.F**2
    counts = np.ones(squares.shape, bool) if dataset.force_mask is None else dataset.force_mask
    sums = np.add.reduceat(np.where(counts, squares, 0.0).sum(axis=1), dataset.ptr[:-1])
    mean = sums / np.maximum(np.add.reduceat(counts.sum(axis=1), dataset.ptr[:-1]), 1)
    forces = _no_more_than(LOUD**2 * np.median(mean), mean)
    far = energies_about_their_composition(dataset) ** 2
    return np.minimum(forces, _no_more_than(LOUD_ENERGY**2 * np.median(far), far))


def _no_more_than(limit: float, squares: NDArray) -> NDArray:
    """Return weights, (S,), with which no square is above a limit."""
    return limit / np.maximum(squares, limit) if limit > 0 else np.ones(len(squares))


def quieted(dataset: Dataset) -> Dataset:
    """Return the same structures, their weights times `quiet_weights`."""
    weights = quiet_weights(dataset)
    if (weights == 1).all():
        return dataset
    return replace(dataset, weight=weights * (1.0 if dataset.weight is None else dataset.weight))


def frames_of(
    dataset: Dataset, charge: int | None = None, multiplicity: int | None = None
) -> list[Atoms]:
    """Return the structures without labels; with charge and multiplicity as given, else as each states."""
    said = {"charge": charge, "multiplicity": multiplicity}
    frames = []
    for s in range(len(dataset)):
        atoms = dataset.atoms(s)
        for name, number in said.items():
            values = getattr(dataset, name)
            if number is None and values is not None and np.isfinite(values[s]):
                number = int(values[s])
            if number is not None:
                atoms.info[name] = number
        frames.append(atoms)
    return frames


def electrons_of(recipe: Recipe) -> Electrons:
    """Return charge and multiplicity of all structures; None where each has its own."""
    charge, multiplicity = recipe.charge, recipe.multiplicity
    return (
        charge if isinstance(charge, int) else None,
        multiplicity if isinstance(multiplicity, int) else None,
    )
