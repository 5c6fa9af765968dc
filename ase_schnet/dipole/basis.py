"""The functions a vector or tensor is expanded in: Gaussians in the axes of the molecule, rotated back.

    φ_ca(r) = Σ_g P(g r)ᵀ e_a κ(z(g r), z_c),     κ(z, z') = exp(−|z − z'|² / 2w²)

for centres c and axes a, summed over the copies g of a molecule under exchange of equivalent atoms and under
inversion (its vectors are turned back, −). P is that of `frame.followed_axes`; z(r) are the positions in
these axes, P r, and the inverse distances times typical ones, which make the error smaller than positions
alone. Each φ is smooth, rotates with the molecule, is mirrored with it, and does not change when identical
atoms are exchanged; so does any sum of them: P(r)ᵀ P(r') κ is a matrix-valued covariant kernel (Glielmo,
Sollich & De Vita, Phys. Rev. B 95, 214302, 2017, doi:10.1103/PhysRevB.95.214302) that needs no integral over
rotations. Symmetric tensors have Pᵀ T_a P for five traceless T_a, and the unit tensor. Added is what is
linear: the positions of each set of equivalent atoms, whose coefficients are charges, or the constant
isotropic tensor.

In the axes of inertia (`frame` "inertia") P is one proper rotation, `frame.inertia_axes`, and there is no
copy under inversion. All else is the same, so that what differs between the two is the frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ase_schnet.dipole.frame import centred, followed_axes, inertia_axes, overlap_matrix
from ase_schnet.dipole.symmetry import orbits

# Components of a symmetric tensor that are fitted, and five traceless tensors.
VOIGT = (np.array([0, 1, 2, 1, 0, 0]), np.array([0, 1, 2, 2, 2, 1]))
TRACELESS = np.zeros((5, 3, 3))
TRACELESS[0], TRACELESS[1] = np.diag([1, -1, 0]) / 2**0.5, np.diag([1, 1, -2]) / 6**0.5
for _t, (_i, _j) in zip(TRACELESS[2:], ((1, 2), (0, 2), (0, 1)), strict=True):
    _t[_i, _j] = _t[_j, _i] = 0.5**0.5


@dataclass(frozen=True, eq=False)
class Basis:
    """Hold m Gaussians of one molecule of N atoms.

    Attributes
    ----------
    masses
        (N,) amu.
    orders
        Exchanges of equivalent atoms, (G, N); see `symmetry`.
    reference
        Positions about the centre of mass in the principal axes, (N, 3) Å.
    stiffness
        β of the followed axes, 1/(amu Å²); 0 in the axes of inertia.
    distances
        Typical distances of the pairs i < j, (N(N-1)/2,) Å.
    centres
        Descriptors z, (m, D) with D = 3N + N(N-1)/2.
    width
        Width w of the Gaussians.
    rank
        1 for a vector, 2 for a symmetric tensor.
    frame
        One of `frame.FRAMES`.
    """

    masses: np.ndarray
    orders: np.ndarray
    reference: np.ndarray
    stiffness: float
    distances: np.ndarray
    centres: np.ndarray
    width: float
    rank: int
    frame: str = "followed"

    @property
    def n_per_centre(self) -> int:
        """Number A of functions per centre: the axes of a vector (3), the templates of a tensor (6)."""
        return 3 if self.rank == 1 else 6

    @cached_property
    def _weighted_reference(self) -> np.ndarray:
        """Matrix (3G, N) that, times positions, gives H = Σ m a rᵀ of every order."""
        rows = np.empty((len(self.orders), 3, len(self.masses)))
        for row, order in zip(rows, self.orders, strict=True):
            row[:, order] = (self.masses[:, None] * self.reference).T
        return rows.reshape(-1, len(self.masses))

    @cached_property
    def _scaled_centres(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The mean z̄ of the centres (D,), (z_c − z̄)/w² as (D, m), |z_c − z̄|²/2w² as (m,).

        Without subtraction of the mean, the squares would be large and their differences would lose digits,
        and the sum over centres would magnify that.
        """
        mean = self.centres.mean(axis=0)
        z = self.centres - mean
        squares = (z**2).sum(axis=1) / (2 * self.width**2)
        return mean, np.ascontiguousarray(z.T / self.width**2), squares

    @cached_property
    def _pairs(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The atoms i < j of every pair, and the number of each pair in every order, (G, pairs)."""
        n = len(self.masses)
        i, j = np.triu_indices(n, 1)
        number = np.zeros((n, n), dtype=np.int64)
        number[i, j] = number[j, i] = np.arange(len(i))
        return i, j, number[self.orders[:, i], self.orders[:, j]]

    @cached_property
    def _members_of_orbits(self) -> np.ndarray:
        """Table of which atom is in which set of equivalent atoms, (N, sets), ones and zeros."""
        return np.eye(len(self.masses))[orbits(self.orders)][:, : orbits(self.orders).max() + 1]

    def cross_moments(self, r: np.ndarray) -> np.ndarray:
        """Return H of every order, (S, G, 3, 3) amu Å², of centred positions r (S, N, 3)."""
        return (self._weighted_reference @ r).reshape(len(r), -1, 3, 3)

    def _axes(self, r: np.ndarray) -> np.ndarray:
        """Return the axes of every order, as it is and (followed axes only) inverted, (S, G, I, 3, 3)."""
        h = self.cross_moments(r)
        if self.frame == "inertia":
            return inertia_axes(r, self.masses, h)[0][:, :, None]
        axes = followed_axes(h, self.stiffness)  # (S, G, 2, 3, 3)
        axes[:, :, 1] *= -1
        return axes

    def copies(self, r: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return axes (S, C, 3, 3) and descriptors z (S, C, D) of the C copies of centred r (S, N, 3).

        In the followed axes copies 2g and 2g + 1 are order g as it is and inverted. The axes of the inverted
        one carry the minus sign of the inversion: they rotate positions as they are, and vectors back. In
        those of inertia copy g is order g.
        """
        axes = self._axes(r)
        (n, g, inversions), size = axes.shape[:3], r[0].size
        i, j, number = self._pairs
        z = np.empty((n, g, inversions, size + len(i)))
        ordered = r[:, self.orders][:, :, None]  # (S, G, 1, N, 3)
        z[..., :size] = (ordered @ axes.swapaxes(-1, -2)).reshape(n, g, inversions, size)
        vectors = r[:, i] - r[:, j]
        squares = np.einsum("spk,spk->sp", vectors, vectors)
        inverse = 1.0 / np.sqrt(np.maximum(squares, 1e-6))  # atoms that coincide: κ is 0
        z[..., size:] = (inverse[:, number] * self.distances)[:, :, None]
        return axes.reshape(n, -1, 3, 3), z.reshape(n, g * inversions, -1)

    def nearest_copy(self, r: np.ndarray) -> np.ndarray:
        """Return the copy that overlaps most with the reference, (S,)."""
        h = self.cross_moments(r)
        if self.frame == "inertia":
            return inertia_axes(r, self.masses, h)[1].argmax(axis=1)
        overlaps = np.linalg.eigvalsh(overlap_matrix(h))
        both = np.stack((overlaps[..., -1], -overlaps[..., 0]), axis=-1)  # as it is, inverted
        return both.reshape(len(r), -1).argmax(axis=1)

    def gaussians(self, z: np.ndarray) -> np.ndarray:
        """Return κ of descriptors (S, C, D) and the centres, (S, C, m)."""
        mean, scaled, squares = self._scaled_centres
        off = z - mean
        # a product for each structure: as many as there are, the same bits
        exponents = off @ scaled
        exponents -= squares
        exponents -= (np.einsum("scd,scd->sc", off, off) / (2 * self.width**2))[..., None]
        return np.exp(exponents, out=exponents)

    def templates(self, axes: np.ndarray) -> np.ndarray:
        """Return the direction of each function of a centre, (S, C, K, A), for axes (S, C, 3, 3)."""
        if self.rank == 1:
            return axes.swapaxes(-1, -2)
        rotated = axes.swapaxes(-1, -2)[..., None, :, :] @ TRACELESS @ axes[..., None, :, :]
        unit = np.broadcast_to(np.eye(3), (*axes.shape[:-2], 1, 3, 3))
        tensors = np.concatenate((unit, rotated), axis=-3)  # (S, C, A, 3, 3)
        return tensors[..., VOIGT[0], VOIGT[1]].swapaxes(-1, -2)

    def linear(self, r: np.ndarray) -> np.ndarray:
        """Return the functions without Gaussians, (S, K, B), of centred r (S, N, 3)."""
        if self.rank == 1:
            return r.swapaxes(-1, -2) @ self._members_of_orbits
        return np.broadcast_to(np.eye(3)[VOIGT][:, None], (len(r), 6, 1))

    def functions(self, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return φ (S, K, m, A) and the linear functions (S, K, B) of positions (S, N, 3) in Å."""
        r = centred(positions, self.masses)
        axes, z = self.copies(r)
        kernel, templates = self.gaussians(z), self.templates(axes)
        n, _, k, a = templates.shape
        phi = templates.reshape(n, -1, k * a).swapaxes(1, 2) @ kernel  # (S, K A, m)
        return phi.reshape(n, k, a, -1).swapaxes(2, 3), self.linear(r)

    def expand(
        self, positions: np.ndarray, coefficients: np.ndarray, linear: np.ndarray
    ) -> np.ndarray:
        """Return the values (S, K, M) of M members at positions (S, N, 3).

        Parameters
        ----------
        positions
            (S, N, 3) Å.
        coefficients, linear
            Of the members, (m, A, M) and (B, M).
        """
        r = centred(positions, self.masses)
        axes, z = self.copies(r)
        amplitudes = self.gaussians(z) @ coefficients.reshape(len(coefficients), -1)
        templates = self.templates(axes)
        n, c, k, a = templates.shape
        # sum over copies and functions at once: (S, K, C A) @ (S, C A, M)
        along = templates.swapaxes(1, 2).reshape(n, k, c * a)
        return along @ amplitudes.reshape(n, c * a, -1) + self.linear(r) @ linear
