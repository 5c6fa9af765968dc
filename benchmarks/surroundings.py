"""Molecules of QM7b, what their atoms see, and features of dipoles and polarizabilities made of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from ase.data import atomic_masses
from ase.units import Bohr, Hartree
from scipy.spatial.transform import Rotation

from ase_schnet.data.formats import read_labelled

ELEMENTS = (1, 6, 7, 8, 16, 17)
CUTOFF = 6.0  # Å
RADII = np.arange(0.9, CUTOFF, 0.35)
ANGLE_RADII, ANGLES = np.array([1.2, 1.9, 2.6]), np.array([-0.8, -0.3, 0.3, 0.8])
SHELLS = np.array([1.15, 1.9, 3.0])  # Å, of the directions to neighbours
SIGNS = np.array(
    [[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]
)  # the proper ones of inertia axes
N_TRAIN, N_CENTRES = 1200, 400
COMPONENTS = [(0, 0, 1.0), (1, 1, 1.0), (2, 2, 1.0), (0, 1, 2**0.5), (0, 2, 2**0.5), (1, 2, 2**0.5)]


class Molecule(NamedTuple):
    """Z (N,) · R (N, 3) Å about the centre of mass · dipole (3,) e·Å · polarizability (3, 3) e²Å²/eV."""

    Z: np.ndarray
    R: np.ndarray
    dipole: np.ndarray
    polarizability: np.ndarray


class Surroundings(NamedTuple):
    """What the atoms of all molecules see.

    molecule (A,) index · Z (A,) · R (A, 3) · invariant (A, D) · directions (A, 2·shells, 3): sums of unit
    vectors to hydrogen and to other neighbours · tensors (A, 2·shells, 3, 3): of their traceless squares.
    """

    molecule: np.ndarray
    Z: np.ndarray
    R: np.ndarray
    invariant: np.ndarray
    directions: np.ndarray
    tensors: np.ndarray


def read(data: Path, seed: int = 0) -> list[Molecule]:
    """The molecules out of their boxes, shuffled, each turned at random."""
    path = data / "qm7b-dipole" / "qm7b_dipole_pol_test.xyz"
    frames, _ = read_labelled(path, "Hartree, Ang, e*Bohr")
    rng = np.random.default_rng(seed)
    molecules = []
    for k in rng.permutation(len(frames)):
        atoms = frames[k]
        turn = Rotation.random(rng=rng).as_matrix()
        alpha = np.reshape(atoms.info["pol"], (3, 3)) * Bohr**2 / Hartree
        molecules.append(
            Molecule(
                atoms.numbers,
                (atoms.positions - atoms.get_center_of_mass()) @ turn.T,
                turn @ atoms.get_dipole_moment(),
                turn @ alpha @ turn.T,
            )
        )
    return molecules


def look_around(molecules: list[Molecule]) -> Surroundings:
    """Radial and angular functions (Behler 2011, doi:10.1063/1.3553717), and directions."""
    rows = [_around(m) for m in molecules]
    invariant, directions, tensors = (np.concatenate(column) for column in zip(*rows, strict=True))
    spread = invariant.std(axis=0)
    return Surroundings(
        np.repeat(np.arange(len(molecules)), [len(m.Z) for m in molecules]),
        np.concatenate([m.Z for m in molecules]),
        np.concatenate([m.R for m in molecules]),
        invariant[:, spread > 1e-6] / spread[spread > 1e-6],
        directions,
        tensors,
    )


def _around(molecule: Molecule) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    vectors = molecule.R[None] - molecule.R[:, None]  # (N, N, 3), from i to j
    r = np.linalg.norm(vectors, axis=2) + 1e3 * np.eye(len(molecule.Z))
    units = vectors / r[..., None]
    fade = np.where(r < CUTOFF, 0.5 * (1 + np.cos(np.pi * np.minimum(r / CUTOFF, 1))), 0.0)
    of_element = np.array([z == molecule.Z for z in ELEMENTS], dtype=float)  # (E, N)
    gauss = np.exp(-(((r[..., None] - RADII) / 0.35) ** 2)) * fade[..., None]  # (N, N, K)
    radial = np.einsum("ijk,ej->iek", gauss, of_element).reshape(len(r), -1)
    near = np.exp(-(((r[..., None] - ANGLE_RADII) / 0.5) ** 2)) * fade[..., None]  # (N, N, A)
    cosine = np.einsum("ija,ika->ijk", units, units)
    bend = np.exp(-(((cosine[..., None] - ANGLES) / 0.5) ** 2))
    bend *= (1 - np.eye(len(r)))[None, :, :, None]
    kinds = np.array([of_element[0], of_element[1], of_element[2:4].sum(0), of_element[4:].sum(0)])
    weighted = near[:, :, None] * kinds.T[None, :, :, None]  # (N, N, kinds, A)
    angular = np.einsum("ijua,ikva,ijkb->iuvab", weighted, weighted, bend, optimize=True)
    both = [angular[:, u, v].reshape(len(r), -1) for u in range(4) for v in range(u + 1)]
    shells = np.exp(-(((r[..., None] - SHELLS) / 0.5) ** 2)) * fade[..., None]
    split = np.array([of_element[0], 1 - of_element[0]])  # hydrogen, others
    weights = np.einsum("ijm,sj->ijsm", shells, split).reshape(*r.shape, -1)  # (N, N, 2·shells)
    squares = np.einsum("ija,ijb->ijab", units, units) - np.eye(3) / 3
    return (
        np.concatenate([radial, *both], axis=1),
        np.einsum("ijm,ija->ima", weights, units),
        np.einsum("ijm,ijab->imab", weights, squares),
    )


# ------------------------------------------------------------------- features


def kernel(x: np.ndarray, z: np.ndarray, centres: np.ndarray, of_centres: np.ndarray, width: float):
    """Gaussian of the distance of two surroundings; zero between elements. (A, K)."""
    squares = (x**2).sum(1)[:, None] + (centres**2).sum(1) - 2 * x @ centres.T
    values = np.exp(-np.maximum(squares, 0) / (2 * width**2))
    return values * (z[:, None] == of_centres)


def chosen_centres(s: Surroundings, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Surroundings of training molecules at random, and the median distance of same elements."""
    rng = np.random.default_rng(1)
    training = np.flatnonzero(s.molecule < N_TRAIN)
    picked = rng.choice(training, N_CENTRES, replace=False)
    centres, z = x[picked], s.Z[picked]
    carbon = centres[z == 6]
    distances = np.linalg.norm(carbon[:, None] - carbon[None], axis=2)
    return centres, z, float(np.median(distances[distances > 0]))


def bounds(s: Surroundings) -> Iterator[tuple[int, int]]:
    """First atom of each molecule and of the next."""
    edges = np.flatnonzero(np.diff(s.molecule, prepend=-1, append=-1))
    return pairwise(edges.tolist())


def moments(k: np.ndarray, values: np.ndarray, s: Surroundings) -> np.ndarray:
    """Sum over the atoms of each molecule of values (A, C) times k (A, K): (molecules, C, K)."""
    return np.array([values[a:b].T @ k[a:b] for a, b in bounds(s)])


def from_atoms(s: Surroundings, tensor: bool, width: float) -> list[np.ndarray]:
    """Covariant by themselves: latent charges and atomic dipoles, or atomic polarizabilities.

    One system of equations for all components: (molecules, components, features).
    """
    centres, z, median = chosen_centres(s, s.invariant)
    k = kernel(s.invariant, s.Z, centres, z, width * median)
    if tensor:
        local = [moments(k, as_components(t), s) for t in s.tensors.swapaxes(0, 1)]
        return [np.concatenate([isotropic(k, s), *local], axis=2)]
    local = [moments(k, d, s) for d in s.directions.swapaxes(0, 1)]
    return [np.concatenate([charges(k, s), *local], axis=2)]


def constant_charges(s: Surroundings, tensor: bool, width: float) -> list[np.ndarray]:
    """A charge, or an isotropic polarizability, per element."""
    k = np.array([z == s.Z for z in ELEMENTS], dtype=float).T
    return [isotropic(k, s) if tensor else charges(k, s)]


def charges(k: np.ndarray, s: Surroundings) -> np.ndarray:
    """Dipoles of charges k (A, K), each less the mean of its molecule, which is neutral."""
    mean = [np.repeat(k[a:b].mean(axis=0, keepdims=True), b - a, axis=0) for a, b in bounds(s)]
    return moments(k - np.concatenate(mean), s.R, s)


def isotropic(k: np.ndarray, s: Surroundings) -> np.ndarray:
    """Unit tensors times k (A, K)."""
    return moments(k, as_components(np.broadcast_to(np.eye(3), (len(k), 3, 3))), s)


def as_components(tensors: np.ndarray) -> np.ndarray:
    """Symmetric (..., 3, 3) as (..., 6), of the same length."""
    return np.stack([w * tensors[..., a, b] for a, b, w in COMPONENTS], axis=-1)


def in_axes(axes: np.ndarray, signs: np.ndarray) -> Callable:
    """Features of atoms in given axes (molecules, 3, 3), averaged over sign choices of these.

    A component's own equations: a list of (molecules, 1, features), each even or odd under a sign as its
    component is.
    """

    def features(s: Surroundings, tensor: bool, width: float) -> list[np.ndarray]:
        turn = axes[s.molecule]  # (A, 3, 3), rows are axes
        placed = np.einsum("aij,aj->ai", turn, s.R)
        pointed = np.einsum("aij,amj->ami", turn, s.directions)
        oriented = np.concatenate([0.5 * placed[:, None], pointed], axis=1)  # (A, 1 + 2·shells, 3)

        def x(sign):
            return np.concatenate(
                [s.invariant / 3, (oriented * sign).reshape(len(s.Z), -1)], axis=1
            )

        centres, z, median = chosen_centres(s, x(np.ones(3)))
        ones = np.ones((len(s.Z), 1))
        kernels = (kernel(x(sign), s.Z, centres, z, width * median) for sign in signs)
        sums = [moments(k, ones, s) for k in kernels]  # (molecules, 1, K) each
        result = []
        for a, b, _ in COMPONENTS if tensor else [(a, None, 1.0) for a in range(3)]:
            parity = signs[:, a] * (1 if b is None else signs[:, b])
            result.append(np.mean([p * k for p, k in zip(parity, sums, strict=True)], axis=0))
        return result

    return features


def inertia_axes(molecules: list[Molecule]) -> np.ndarray:
    """Proper axes as rows, (molecules, 3, 3); where moments are equal they are any."""
    axes = []
    for m in molecules:
        mass = atomic_masses[m.Z][:, None, None]
        squares = np.einsum("ia,ib->iab", m.R, m.R)
        inertia = (
            mass * (np.trace(squares, axis1=1, axis2=2)[:, None, None] * np.eye(3) - squares)
        ).sum(0)
        rows = np.linalg.eigh(inertia)[1].T
        axes.append(rows * [[1], [1], [np.linalg.det(rows)]])
    return np.array(axes)
