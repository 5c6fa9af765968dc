"""CCSD(T)/aug-cc-pVTZ energies of methanol along normal modes, for its harmonic frequencies.

    OMP_NUM_THREADS=1 python -m benchmarks.methanol_reference --minutes 60     adds to methanol_reference.json

Frozen core, as the data of models/methanol have it (M. Käser et al., doi:10.1021/acs.jctc.1c00249). The first
call chooses the structures: the minimum of models/methanol and displacements along its modes whose harmonic
energy is 0.02 eV (0.004 for the torsion), both signs where the mode keeps the mirror plane, one where the
other follows by symmetry.
Each energy is on disk when it is there; three to ten minutes of one core and 9 GB each. Needs pyscf.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
from ase import Atoms, units
from ase.build import molecule
from ase.optimize import BFGS
from pyscf import cc, gto, lib, scf

from ase_schnet import SchNetCalculator
from ase_schnet.runtime.files import write_whole
from ase_schnet.spectra import normal_modes

FILE = Path(__file__).with_name("methanol_reference.json")
BASIS, FROZEN = "aug-cc-pvtz", 2
LEVEL = "CCSD(T)/aug-cc-pVTZ, frozen core"
#: Harmonic energy of a displacement, and of one below 500 cm⁻¹: a straight line is no rotation of a methyl.
DISPLACED_EV, SOFT_EV = 0.02, 0.004


def structures() -> dict:
    """The minimum (N, 3) of the model, its modes (12, N, 3) and step widths, and the points to compute."""
    atoms = molecule("CH3OH")
    atoms.calc = SchNetCalculator("methanol")
    BFGS(atoms, logfile=None).run(fmax=1e-5, steps=500)
    modes = normal_modes(atoms)
    hbar = units._hbar * units.J * units.s
    omega = modes.wavenumber_cm * units.invcm / hbar  # sqrt(eV/amu)/Å
    energy = np.where(modes.wavenumber_cm < 500, SOFT_EV, DISPLACED_EV)
    widths = np.sqrt(2 * energy) / omega  # Å sqrt(amu)
    mirrored = _mirrored(atoms, modes.displacements)
    points = [[-1, 0]]
    for k in sorted(range(len(widths)), key=lambda k: (not mirrored[k], -k)):
        points += [[k, 1]] if mirrored[k] else [[k, 1], [k, -1]]
    return {
        "level": LEVEL,
        "symbols": atoms.get_chemical_formula("reduce"),
        "numbers": atoms.numbers.tolist(),
        "masses": atoms.get_masses().tolist(),
        "positions_Ang": atoms.positions.tolist(),
        "wavenumber_cm": modes.wavenumber_cm.tolist(),
        "modes": modes.displacements.tolist(),
        "widths": widths.tolist(),
        "breaks_mirror": mirrored,
        "points": points,
        "energies_Ha": {},
    }


def _mirrored(atoms: Atoms, modes: np.ndarray) -> list[bool]:
    """Whether each mode is odd under the mirror plane, which holds C, O and the H of the hydroxyl group."""
    z = atoms.numbers
    c, o = (int(np.flatnonzero(z == n)[0]) for n in (6, 8))
    h = int(np.argmin(np.where(z == 1, atoms.get_all_distances()[o], np.inf)))
    normal = np.cross(
        atoms.positions[o] - atoms.positions[c], atoms.positions[h] - atoms.positions[o]
    )
    normal /= np.linalg.norm(normal)
    heavy = modes[:, [c, o, h]] * np.sqrt(atoms.get_masses()[[c, o, h], None])
    hydrogens = np.array([i for i in np.flatnonzero(z == 1) if i != h])
    inside = np.abs((atoms.positions[hydrogens] - atoms.positions[c]) @ normal).argmin()
    in_plane = np.abs(modes[:, hydrogens[inside]] @ normal)
    out = np.abs(heavy @ normal).sum(axis=1) + in_plane
    plane = np.linalg.norm(np.cross(heavy, normal), axis=2).sum(axis=1) + np.linalg.norm(
        np.cross(modes[:, hydrogens[inside]], normal), axis=1
    )
    assert ((out > 100 * plane) | (plane > 100 * out)).all(), "the modes have no symmetry"
    return (out > plane).tolist()


def positions_of(told: dict, point: list[int]) -> np.ndarray:
    """Positions (N, 3), Å, of a point [mode, sign]; mode -1 is the minimum."""
    mode, sign = point
    positions = np.array(told["positions_Ang"])
    if mode >= 0:
        positions = positions + sign * told["widths"][mode] * np.array(told["modes"][mode])
    return positions


class Energies:
    """CCSD(T) energies, Hartree; each starts from the orbitals and amplitudes of the first."""

    def __init__(self, numbers: list[int]):
        self.numbers, self.first = numbers, None

    def __call__(self, positions: np.ndarray) -> float:
        places = list(zip(self.numbers, positions.tolist(), strict=True))
        mol = gto.M(atom=places, basis=BASIS, verbose=0, max_memory=12000)
        mol.incore_anyway = True  # all integrals in memory: a third of the time
        mean_field = scf.RHF(mol)
        mean_field.conv_tol, mean_field.conv_tol_grad = 1e-11, 1e-6
        mean_field.kernel(None if self.first is None else self.first[2])
        coupled = cc.CCSD(mean_field, frozen=FROZEN)
        coupled.conv_tol, coupled.conv_tol_normt, coupled.max_cycle = 1e-8, 1e-6, 60
        start = (None, None) if self.first is None else self.turned(mean_field)
        coupled.kernel(*start)
        assert mean_field.converged
        assert coupled.converged
        if self.first is None:
            self.first = (mean_field.mo_coeff, (coupled.t1, coupled.t2), mean_field.make_rdm1())
        return float(coupled.e_tot + coupled.ccsd_t())

    def turned(self, mean_field: scf.hf.RHF) -> tuple[np.ndarray, np.ndarray]:
        """The amplitudes of the first structure in the orbitals of this one, whose basis moved with it."""
        before, (t1, t2), _ = self.first
        n = mean_field.mol.nelectron // 2
        u = before.T @ mean_field.get_ovlp() @ mean_field.mo_coeff
        occupied, empty = (
            _orthogonal(u[part, part]) for part in (slice(FROZEN, n), slice(n, None))
        )
        t1 = occupied.T @ t1 @ empty
        t2 = lib.einsum("ijab,ik->kjab", t2, occupied)
        t2 = lib.einsum("kjab,jl->klab", t2, occupied)
        t2 = lib.einsum("klab,ac->klcb", t2, empty)
        return t1, lib.einsum("klcb,bd->klcd", t2, empty)


def _orthogonal(matrix: np.ndarray) -> np.ndarray:
    left, _, right = np.linalg.svd(matrix)
    return left @ right


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--minutes", type=float, default=1e9, help="begin no energy after this time"
    )
    minutes = parser.parse_args().minutes
    began = time.monotonic()
    told = json.loads(FILE.read_text()) if FILE.exists() else structures()
    energies = Energies(told["numbers"])
    for point in told["points"]:
        name = f"{point[0]} {point[1]:+d}"
        known = name in told["energies_Ha"]
        if (known and point[0] >= 0) or time.monotonic() - began > 60 * minutes:
            continue
        if known and all(f"{m} {s:+d}" in told["energies_Ha"] for m, s in told["points"]):
            continue
        told["energies_Ha"][name] = energies(positions_of(told, point))
        write_whole(FILE, (json.dumps(told, indent=1) + "\n").encode())
        print(
            f"{name}: {told['energies_Ha'][name]:.9f} Ha, {time.monotonic() - began:.0f} s",
            flush=True,
        )


if __name__ == "__main__":
    main()
