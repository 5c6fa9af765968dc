"""Principal axes of inertia that neither flip nor jump: the frame in which a vector is predicted.

Rotate–predict–rotate (Martinka et al., doi:10.1063/5.0230176) turns a molecule to the principal
axes of its inertia tensor about the centre of mass. Axes have no sign, so there are four proper frames;
where two moments are equal the axes are arbitrary, and along a path through such a point they swap.
No continuous choice of one frame exists (Dym et al., arXiv:2402.16077), but averages over frames with smooth
weights are continuous. Here:

The inertia tensor has the axes of C = Σ m r rᵀ. Put a reference geometry a of the same atoms into *its*
principal axes and take H = Σ m a rᵀ, which is C at the reference. Of H = U S Vᵀ there are again four proper
sign choices, R = U diag(±1, ±1, ±1) Vᵀ; they are the stationary points of the overlap λ(R) = Σ m a·(R r),
and all of them obey the Eckart conditions Σ m a × (R r) = 0. Largest is λ for the axes that have followed
the molecule from the reference (Kudin & Dymarsky, J. Chem. Phys. 122, 224105, 2005, doi:10.1063/1.1929739):
no sign must be guessed, and degenerate moments do not matter, because the gap between the best two λ of a
molecule near its reference is twice its *smallest moment*. Elsewhere, weight the four by the Boltzmann
factor of their overlap:

    P = Σ_k w_k R_k,   w = softmax(β λ).

The R_k are the eigenvectors of a 4 × 4 matrix linear in r, their quaternions, and λ_k its eigenvalues (Horn,
J. Opt. Soc. Am. A 4, 629, 1987, doi:10.1364/JOSAA.4.000629), so P is an analytic function of *that matrix*
(a matrix exponential, seen as rotations): smooth everywhere, through every degeneracy, and P(Q r) = P(r) Qᵀ
for every rotation Q. Where β times the gap is large, P is the rotation to the followed axes; it need not be
exactly a rotation. Where axes are undetermined it is the average over those that are equally good: for a
linear molecule u ⊗ u, for a single atom 0; so components that symmetry forbids vanish. Inertia axes with a
convention about signs, or the average over their four frames (Puny et al., arXiv:2110.03336), jump instead
and have larger errors (benchmarks/dipoles.md).

The method to the letter is there beside it: `inertia_axes` are the eigenvectors of the inertia tensor. Their
signs, of which the published abstract says nothing, are ours: of the four proper frames R, the one with the
largest overlap λ(R) = Σ m a·(R r) with the reference in its own axes.
"""

from __future__ import annotations

import numpy as np

#: Axes in which a quantity can be predicted: the name of the setting, and in words.
FRAMES = {"followed": "followed axes", "inertia": "axes of inertia"}

# Rotation matrix elements from products of quaternion components (w, x, y, z): R = (q qᵀ) · _ROTATION.
# Row by row R_ij as {(a, b): factor} of q_a q_b.
_ELEMENTS = (
    {(0, 0): 1, (1, 1): 1, (2, 2): -1, (3, 3): -1},
    {(1, 2): 2, (0, 3): -2},
    {(1, 3): 2, (0, 2): 2},
    {(1, 2): 2, (0, 3): 2},
    {(0, 0): 1, (1, 1): -1, (2, 2): 1, (3, 3): -1},
    {(2, 3): 2, (0, 1): -2},
    {(1, 3): 2, (0, 2): -2},
    {(2, 3): 2, (0, 1): 2},
    {(0, 0): 1, (1, 1): -1, (2, 2): -1, (3, 3): 1},
)


def _rotation_from_quaternion() -> np.ndarray:
    """Return the table (4, 4, 9), symmetric in the first two axes."""
    table = np.zeros((4, 4, 9))
    for element, products in enumerate(_ELEMENTS):
        for (a, b), factor in products.items():
            table[a, b, element] += factor / 2
            table[b, a, element] += factor / 2
    return table


_ROTATION = _rotation_from_quaternion().reshape(16, 9)


def centred(positions: np.ndarray, masses: np.ndarray) -> np.ndarray:
    """Return positions (..., N, 3) in Å about the centre of mass."""
    return positions - (masses @ positions / masses.sum())[..., None, :]


def moments_and_axes(positions: np.ndarray, masses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return moments of inertia (..., 3) in amu Å², ascending, and axes (..., 3, 3), the rows.

    The axes are a proper rotation. Apart from that their signs are arbitrary, and so are the axes themselves
    where moments are equal.

    Parameters
    ----------
    positions
        (..., N, 3) Å, anywhere.
    masses
        (N,) amu.
    """
    r = centred(positions, masses)
    second = np.einsum("n,...ni,...nj->...ij", masses, r, r)
    trace = np.trace(second, axis1=-2, axis2=-1)[..., None]
    values, vectors = np.linalg.eigh(second)  # the largest second moment has the smallest inertia
    axes = vectors.swapaxes(-1, -2)[..., ::-1, :].copy()
    axes[..., 2, :] *= np.linalg.det(axes)[..., None]
    return trace - values[..., ::-1], axes


def principal_frames(positions: np.ndarray, masses: np.ndarray) -> np.ndarray:
    """Return the four proper frames of the principal axes of inertia, (..., 4, 3, 3)."""
    signs = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])
    _, axes = moments_and_axes(positions, masses)
    return signs[:, :, None] * axes[..., None, :, :]


def inertia_axes(
    positions: np.ndarray, masses: np.ndarray, h: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the principal axes of inertia, the rows, with signs by a reference, and the overlaps with it.

    Where two moments are equal the axes are arbitrary. Along a path they jump there, and wherever another
    choice of the signs begins to overlap more.

    Parameters
    ----------
    positions
        (S, N, 3) Å, anywhere.
    masses
        (N,) amu.
    h
        Σ m a rᵀ of references a in their axes and the molecules r, about the centres of mass,
        (S, G, 3, 3) amu Å².

    Returns
    -------
    tuple
        A proper rotation for every reference, (S, G, 3, 3), and λ = Σ m a·(R r), (S, G) amu Å².
    """
    frames = principal_frames(positions, masses)  # (S, 4, 3, 3)
    overlaps = np.einsum("skij,sgij->sgk", frames, h)
    best = overlaps.argmax(axis=-1)
    return frames[np.arange(len(frames))[:, None], best], overlaps.max(axis=-1)


def least_gap(positions: np.ndarray, masses: np.ndarray) -> float:
    """Return how near two moments of inertia come in (S, N, 3) Å, as a fraction of the largest moment."""
    moments, _ = moments_and_axes(positions, masses)
    largest = moments[..., 2]
    return float((np.diff(moments, axis=-1).min(axis=-1) / np.where(largest > 0, largest, 1)).min())


def overlap_matrix(h: np.ndarray) -> np.ndarray:
    """Return the matrix K (..., 4, 4) of Horn for H = Σ m a rᵀ (..., 3, 3): qᵀ K q = Σ m a·(R(q) r)."""
    return (h.reshape(*h.shape[:-2], 9) @ _ROTATION.T).reshape(*h.shape[:-2], 4, 4)


def followed_axes(h: np.ndarray, stiffness: float) -> np.ndarray:
    """Return P of `h` and of its mirror image −h, (..., 2, 3, 3); see the docstring of the module.

    Parameters
    ----------
    h
        Σ m a rᵀ of a reference a and a molecule r, both about their centres of mass, (..., 3, 3) amu Å².
    stiffness
        β in 1/(amu Å²).
    """
    overlaps, quaternions = np.linalg.eigh(overlap_matrix(h))
    products = quaternions[..., :, None, :] * quaternions[..., None, :, :]  # (..., 4, 4, k)
    rotations = products.reshape(*h.shape[:-2], 16, 4).swapaxes(-1, -2) @ _ROTATION  # (..., k, 9)
    exponents = np.stack((overlaps, -overlaps), axis=-2) * stiffness  # (..., 2, k)
    weights = np.exp(exponents - exponents.max(axis=-1, keepdims=True))
    weights /= weights.sum(axis=-1, keepdims=True)
    return (weights @ rotations).reshape(*h.shape[:-2], 2, 3, 3)


def overlap_gap(h: np.ndarray) -> np.ndarray:
    """Return the gap of the best two λ of `h` (..., 3, 3), amu Å²: how well the axes are determined."""
    overlaps = np.linalg.eigvalsh(overlap_matrix(h))
    return overlaps[..., 3] - overlaps[..., 2]
