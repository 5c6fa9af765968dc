"""Pack frames and their labels into the arrays of a data set."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ase.data import chemical_symbols
from ase.stress import full_3x3_to_voigt_6_stress
from numpy.typing import NDArray

from ase_schnet.data.frame import Frame
from ase_schnet.modelfile import MAX_ELEMENTS
from ase_schnet.structures.electrons import has_multiplicity, stated

PROPERTIES = ("energy", "forces", "stress", "dipole")
"""Labels that ASE's results may hold."""
AUGMENTATION_MARKS = ("augmented", "augmented_from", "frame_id")
"""Keys of ``info`` that mark augmented structures: see `ase_schnet.augment.frames`."""


def packed(frames: Sequence[Frame], labels: dict[str, list]) -> dict[str, NDArray | None]:
    """Return the array fields of `Dataset` by name.

    Parameters
    ----------
    frames
        In Å. Polarizabilities, weights and marks of augmentation are in their info.
    labels
        Lists of one label per frame, None where it has none: "energy" eV, "forces" (N, 3) eV/Å, "stress"
        (6,) or (3, 3) eV/Å³, "dipole" (3,) e·Å.

    Raises
    ------
    ValueError
        For what `Dataset.from_atoms` refuses.
    """
    if not frames:
        raise ValueError("no structures: the list of frames is empty")
    counts = np.array([len(f.numbers) for f in frames])
    if counts.min() == 0:
        raise ValueError(f"frame {counts.argmin()} has no atoms")
    _refuse_heavy(frames)
    cells, pbc = np.zeros((len(frames), 3, 3)), np.zeros((len(frames), 3), dtype=bool)
    for k, frame in enumerate(frames):
        cells[k] = 0.0 if frame.cell is None else frame.cell
        pbc[k] = False if frame.pbc is None else frame.pbc
    energies, forces = _complete("energy", labels), _complete("forces", labels)
    infos = [frame.info or {} for frame in frames]
    all_forces = None if forces is None else np.concatenate(forces).astype(np.float64)
    return {
        "Z": np.concatenate([f.numbers for f in frames]).astype(np.int64),
        "R": np.concatenate([f.positions for f in frames]).astype(np.float64),
        "ptr": np.concatenate([[0], counts.cumsum()]).astype(np.int64),
        "E": None if energies is None else np.array(energies, dtype=np.float64),
        "F": all_forces,
        "cells": cells,
        "pbc": pbc,
        "stress": _stress(labels, np.isfinite(volumes_of(cells, pbc))),
        "dipole": _rows("dipole", (3,), labels.get("dipole", [])),
        "polarizability": _rows("polarizability", (3, 3), [i.get("polarizability") for i in infos]),
        "weight": _weights(infos),
        **_electrons(frames),
        "force_mask": None if all_forces is None else label_mask(frames, all_forces),
        **_augmentation_marks(infos),
    }


def label_mask(frames: Sequence[Frame], forces: NDArray) -> NDArray | None:
    """Return which components of the forces (N, 3) of all frames are labels; None if all are.

    A component that a constraint holds is no label where its force is exactly zero. Where the force is not
    zero, the code kept the true force, which is a label like any other.
    """
    if all(frame.fixed is None and frame.force_mask is None for frame in frames):
        return None
    counts = np.ones(forces.shape, dtype=bool)
    start = 0
    for frame in frames:
        part = slice(start, start + len(frame.numbers))
        start = part.stop
        if frame.force_mask is not None:
            counts[part] &= frame.force_mask
        if frame.fixed is not None:
            counts[part] &= ~(frame.fixed & (forces[part] == 0.0))
    return None if counts.all() else counts


def _refuse_heavy(frames: Sequence[Frame]) -> None:
    heaviest = [int(f.numbers.max()) for f in frames]
    if max(heaviest) >= MAX_ELEMENTS:
        worst = int(np.argmax(heaviest))
        raise ValueError(
            f"frame {worst} holds {chemical_symbols[heaviest[worst]]}; the network knows "
            f"elements up to {chemical_symbols[MAX_ELEMENTS - 1]}"
        )


def _complete(name: str, labels: dict[str, list]) -> list | None:
    """Return label `name` of every frame, or None when no frame has it."""
    values = labels.get(name, [])
    missing = [k for k, value in enumerate(values) if value is None]
    if len(missing) == len(values):
        return None
    if missing:
        raise ValueError(
            f"{name} found in {len(values) - len(missing)}/{len(values)} frames "
            f"(first without: frame {missing[0]}); label every frame or drop those without"
        )
    for k, value in enumerate(values):
        if not np.all(np.isfinite(value)):
            raise ValueError(f"{name} of frame {k} is not finite")
    return values


def _stress(labels: dict[str, list], has_volume: NDArray) -> NDArray | None:
    """Return the stress of every frame, (S, 6) in eV/Å³ with rows of NaN, or None when no frame has it."""
    values = [v if has_volume[k] else None for k, v in enumerate(labels.get("stress", []))]
    voigt = [full_3x3_to_voigt_6_stress(v) if np.shape(v) == (3, 3) else v for v in values]
    return _rows("stress", (6,), voigt)


def stress_of_virials(virials: list, frames: Sequence[Frame]) -> list:
    """Return the stress −virial/V of each frame in ASE's Voigt order; None without a virial or a volume.

    The unit is that of virials (energy) and cells: energy/length³. The sign is that of QUIP, MACE and
    DeePMD: the virial is −dE/dε, positive for a compressed structure.
    """
    stresses = []
    for virial, frame in zip(virials, frames, strict=True):
        periodic = frame.cell is not None and frame.pbc is not None
        volume = abs(np.linalg.det(frame.cell)) if periodic and frame.pbc.any() else 0.0
        stresses.append(None if virial is None or volume == 0.0 else -virial / volume)
    return stresses


def _weights(infos: list[dict]) -> NDArray | None:
    """Return the weight of every frame in the loss, or None when all are 1."""
    weights = np.array([float(info.get("loss_weight", 1.0)) for info in infos])
    bad = ~(np.isfinite(weights) & (weights > 0))
    if bad.any():
        k = int(bad.argmax())
        raise ValueError(f"loss_weight of frame {k} is {weights[k]:g}; it must be above 0")
    return None if (weights == 1).all() else weights


def _augmentation_marks(infos: list[dict]) -> dict[str, NDArray | None]:
    """Return the marks of augmentation as text, (S,), "" where there is none; None if all are true."""
    if not any("augmented" in info for info in infos):
        return dict.fromkeys(AUGMENTATION_MARKS)
    return {key: np.array([str(i.get(key, "")) for i in infos]) for key in AUGMENTATION_MARKS}


def _electrons(frames: Sequence[Frame]) -> dict[str, NDArray | None]:
    """Return charge and multiplicity of every frame, (S,), NaN where unknown; None if all are unknown."""
    said = [f.electrons or stated(f.info or {}, {}) for f in frames]
    charge = np.array([np.nan if e.charge is None else e.charge for e in said])
    multiplicity = np.array(
        [
            e.multiplicity
            if e.multiplicity is not None and has_multiplicity(len(f.numbers), f.pbc)
            else np.nan
            for e, f in zip(said, frames, strict=True)
        ]
    )
    return {"charge": none_if_empty(charge), "multiplicity": none_if_empty(multiplicity)}


def _rows(name: str, shape: tuple[int, ...], values: list) -> NDArray | None:
    """Return labels that some frames may lack, (S, *shape) with rows of NaN; None if no frame has one."""
    if all(value is None for value in values):
        return None
    rows = np.full((len(values), *shape), np.nan)
    for k, value in enumerate(values):
        if value is None:
            continue
        if np.shape(value) != shape:
            raise ValueError(f"{name} of frame {k} has shape {np.shape(value)}, expected {shape}")
        rows[k] = value
        if not np.isfinite(rows[k]).all():
            raise ValueError(f"{name} of frame {k} is not finite")
    return rows


def none_if_empty(rows: NDArray) -> NDArray | None:
    """Return the rows, or None when all of them are NaN."""
    return None if np.isnan(rows).all() else rows


def volumes_of(cells: NDArray, pbc: NDArray) -> NDArray:
    """Return the volumes |det cell| in Å³, (S,), of cells (S, 3, 3).

    A volume is infinite where nothing is periodic or a lattice vector is zero: the stress of a molecule,
    virial over volume, is then zero and never NaN.
    """
    volumes = np.abs(np.linalg.det(cells))
    return np.where(pbc.any(axis=1) & (volumes > 0), volumes, np.inf)
