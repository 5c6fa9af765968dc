"""The temperature of labelled structures, from their forces and the curvature of a cheap method."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ase import Atoms, units
from numpy.typing import NDArray

from ase_schnet.labelling.label import label_structures
from ase_schnet.labelling.reference import Reference

#: Structures that are looked at, and the step of the finite differences in Å.
LOOKED_AT, STEP_ANG = 12, 0.02


def configurational_temperature_K(
    frames: Sequence[Atoms],
    forces: Sequence[NDArray],
    reference: Reference,
    jobs: int | None = None,
) -> float:
    """Return T = ⟨|F|²⟩ / (k_B ⟨∇·∇U⟩) in K, which holds in the canonical ensemble.

    The Laplacian of the energy is that of the cheap method, by differences of its forces: for thermal
    structures it is much the same for every method that has the right bonds.

    Parameters
    ----------
    frames
        Structures of dynamics, without labels.
    forces
        (N, 3) in eV/Å of each, of the method that made them.
    reference
        The cheap method.
    jobs
        Processes; None: all cores.

    References
    ----------
    H. H. Rugh, Phys. Rev. Lett. 1997, 78, 772, doi:10.1103/PhysRevLett.78.772; B. D. Butler et al., J. Chem.
    Phys. 1998, 109, 6519, doi:10.1063/1.477301.
    """
    chosen = np.linspace(0, len(frames) - 1, min(len(frames), LOOKED_AT)).astype(int)
    moved, places = [], []
    for k in chosen:
        for i in range(len(frames[k])):
            for axis in range(3):
                for sign in (1, -1):
                    atoms = frames[k].copy()
                    atoms.positions[i, axis] += sign * STEP_ANG
                    moved.append(atoms)
                    places.append((i, axis, sign))
    result = label_structures(moved, reference, jobs=jobs, progress=False)
    done = [p for k, p in enumerate(places) if k not in result.failures]
    slopes = [
        -sign * atoms.get_forces()[i, axis] / (2 * STEP_ANG)
        for atoms, (i, axis, sign) in zip(result.frames, done, strict=True)
    ]
    laplacian = sum(slopes) / len(chosen)  # a failure takes one of two sides away: a small error
    squares = np.mean([(f**2).sum() for f in forces])
    return float(squares / (units.kB * laplacian))
