"""Pack frames and their labels into the arrays of a data set."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ase.data import chemical_symbols
from ase.geometry import complete_cell
from ase.stress import full_3x3_to_voigt_6_stress
from numpy.typing import ArrayLike, NDArray

from ase_schnet.data.frame import Frame
from ase_schnet.schnet_config import MAX_ELEMENTS
from ase_schnet.structures.electrons import has_multiplicity, stated

PROPERTIES = ("energy", "forces", "stress", "dipole")
"""Labels that ASE's results may hold."""
AUGMENTATION_MARKS = ("augmented", "augmented_from", "frame_id")
"""Keys of ``info`` that mark augmented structures: see `ase_schnet.augment.frames`."""
_DECIMALS = 7
"""Of coordinates in units of a cell: images are one place although positions are rounded."""


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
    _refuse_unknown_elements(frames)
    cells, pbc = _cells(frames)
    energies = _complete("energy", labels, [()] * len(frames))
    forces = _complete("forces", labels, [(n, 3) for n in counts.tolist()])
    infos = [frame.info or {} for frame in frames]
    all_forces = None if forces is None else np.concatenate(forces).astype(np.float64)
    return {
        "Z": np.concatenate([f.numbers for f in frames]).astype(np.int64),
        "R": np.concatenate(_finite_positions(frames)).astype(np.float64),
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


def _refuse_unknown_elements(frames: Sequence[Frame]) -> None:
    for k, frame in enumerate(frames):
        z = int(frame.numbers.min())
        if z < 1:
            raise ValueError(
                f"frame {k} has an atom of atomic number {z}, which is no element: remove dummy and ghost "
                "atoms"
            )
        z = int(frame.numbers.max())
        if z >= MAX_ELEMENTS:
            known = z < len(chemical_symbols)
            raise ValueError(
                f"frame {k} holds {chemical_symbols[z] if known else f'atomic number {z}'}; the network "
                f"knows elements up to {chemical_symbols[MAX_ELEMENTS - 1]}"
            )


def _cells(frames: Sequence[Frame]) -> tuple[NDArray, NDArray]:
    """Return cells (S, 3, 3) and periodic directions (S, 3), which are none along zero cell vectors."""
    cells, pbc = np.zeros((len(frames), 3, 3)), np.zeros((len(frames), 3), dtype=bool)
    for k, frame in enumerate(frames):
        cells[k] = 0.0 if frame.cell is None else frame.cell
        pbc[k] = False if frame.pbc is None else frame.pbc
    pbc &= cells.any(axis=2)
    finite = np.isfinite(cells).all(axis=(1, 2))
    if not finite.all():
        raise ValueError(f"the cell of frame {finite.argmin()} is not finite")
    periodic = np.flatnonzero(pbc.any(axis=1))
    vectors = np.where(pbc[periodic, :, None], cells[periodic], 0.0)
    flat = periodic[np.linalg.matrix_rank(vectors) < pbc[periodic].sum(axis=1)]
    if len(flat):
        raise ValueError(
            f"the cell of frame {flat[0]}, {cells[flat[0]].tolist()}, does not span the periodic directions"
        )
    return cells, pbc


def _finite_positions(frames: Sequence[Frame]) -> list[NDArray]:
    for k, frame in enumerate(frames):
        if not np.isfinite(frame.positions).all():
            raise ValueError(f"positions of frame {k} are not finite")
    return [frame.positions for frame in frames]


def refuse_coinciding(frames: Sequence[Frame]) -> None:
    """Refuse structures with two atoms in one place, between which there is no direction.

    Raises
    ------
    ValueError
        For the first such structure, also if one atom is at a periodic image of the other.
    """
    for k, frame in enumerate(frames):
        places = _places(frame)
        if len(np.unique(places[:, 0])) == len(places):  # quick, and so it is of nearly all
            continue
        _, first, number = np.unique(places, axis=0, return_index=True, return_inverse=True)
        twice = np.flatnonzero(first[number.ravel()] != np.arange(len(places)))
        if len(twice):
            one = first[number.ravel()[twice[0]]]
            raise ValueError(f"frame {k}: atoms {one} and {twice[0]} are in the same place")


def _places(frame: Frame) -> NDArray:
    """Return the positions (N, 3), of a periodic structure in units of its cell: equal for all images."""
    if frame.pbc is None or frame.cell is None:
        return frame.positions
    periodic = frame.pbc & frame.cell.any(axis=1)  # some files have pbc="T T T" and a zero cell
    cell = complete_cell(frame.cell)
    if not periodic.any() or np.linalg.det(cell) == 0.0:
        return frame.positions
    places = frame.positions @ np.linalg.inv(cell)
    return np.where(periodic, np.round(places % 1.0, _DECIMALS) % 1.0, np.round(places, _DECIMALS))


def _complete(name: str, labels: dict[str, list], shapes: list[tuple]) -> list | None:
    """Return label `name` of every frame in its shape, or None when no frame has it."""
    values = labels.get(name, [])
    missing = [k for k, value in enumerate(values) if value is None]
    if len(missing) == len(values):
        return None
    if missing:
        raise ValueError(
            f"{name} found in {len(values) - len(missing)}/{len(values)} frames "
            f"(first without: frame {missing[0]}); label every frame or drop those without"
        )
    return [_of_shape(shapes[k], value, f"{name} of frame {k}") for k, value in enumerate(values)]


def _of_shape(shape: tuple[int, ...], value: ArrayLike, what: str) -> ArrayLike:
    if shape == () and np.size(value) == 1:  # some calculators give an array of one energy
        value = np.reshape(value, ())
    if np.shape(value) != shape:
        raise ValueError(f"{what} has shape {np.shape(value)}, expected {shape}")
    if not np.all(np.isfinite(value)):
        raise ValueError(f"{what} is not finite")
    return value


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
        rows[k] = _of_shape(shape, value, f"{name} of frame {k}")
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
