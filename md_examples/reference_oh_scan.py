"""Compute the reference of the O-H scan of ethanol: UKS-PBE/def2-SVP singlet energies (eV) with pyscf.

The hydroxyl H (atom 8) moves away from O (atom 2), all else frozen: the frames of the input and more on the
same line, 0.70-2.93 Angstrom, S_z = 0. At each point several initial guesses are compared on a coarse grid;
the lowest is converged (no RI, grid level 4) until it is internally stable. One sweep inwards and one
outwards take 1.5 h on one core. If it was stopped, the same command continues. Run it in this folder:
OMP_NUM_THREADS=1 python reference_oh_scan.py test_H_removal.xyz
"""

import os
import sys
from pathlib import Path

import numpy as np
import pyscf
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read, write
from ase.units import Hartree
from scipy.linalg import block_diag
from tqdm import tqdm

O_ATOM, H_ATOM = 2, 8
EXTRA_DISTANCES_A = np.r_[np.arange(0.70, 1.31, 0.05), np.arange(1.325, 2.95, 0.1)]
OUTPUT = Path(__file__).with_name("ethanol_oh_scan_pbe_def2svp.xyz")
LEVEL = f"UKS-PBE/def2-SVP Sz=0 lowest root, grid level 4, no RI, pyscf {pyscf.__version__}"


def scf(atoms, dm=None, spin=0, fine=True):
    atom = [(a.symbol, a.position) for a in atoms]
    mf = pyscf.M(atom=atom, basis="def2-svp", spin=spin, verbose=0).UKS(xc="pbe")
    mf.grids.level, mf.conv_tol, mf.max_cycle = (4, 1e-9, 100) if fine else (1, 1e-6, 40)
    mf.kernel(dm0=dm)
    if fine and not mf.converged:  # second order where DIIS fails
        mf = mf.newton().run(mf.mo_coeff, mf.mo_occ)
        assert mf.converged, f"SCF not converged: {atoms.info}"
    return mf


def starts(atoms, ethoxy, h_atom):
    """Restricted-like, mixed HOMO/LUMO, ethoxy + H with either O hole, spin-flipped triplet."""
    mf, n, occ = scf(atoms, fine=False), atoms.numbers.sum() // 2, ethoxy.mo_occ.copy()
    mo, (up, down) = mf.mo_coeff[0], h_atom.make_rdm1()
    mixed = [np.c_[mo[:, : n - 1], (mo[:, n - 1] + s * mo[:, n]) / 2**0.5] for s in (1, -1)]
    occ[1, n - 2 : n] = 0, 1  # the minority-spin hole in the other O 2p orbital
    holes = [ethoxy.make_rdm1(), ethoxy.make_rdm1(mo_occ=occ)]
    flipped, h = scf(atoms, spin=2, fine=False).make_rdm1(), slice(-len(up), None)
    flipped[:, h, h] = flipped[::-1, h, h].copy()
    fragments = [np.array([block_diag(a, down), block_diag(b, up)]) for a, b in holes]
    return [mf.make_rdm1(), np.array([c @ c.T for c in mixed]), flipped, *fragments]


def follow(atoms, mf):
    """Leave internally unstable solutions downhill (stability tested on the coarse grid)."""
    coarse = scf(atoms, mf.make_rdm1(), fine=False)
    mo, _, stable, _ = coarse.stability(return_status=True)
    new = mf if stable else scf(atoms, coarse.make_rdm1(mo, coarse.mo_occ))
    return follow(atoms, new) if new.e_tot < mf.e_tot - 1e-8 else mf


def main(source):
    frames = read(source, ":")
    ethoxy, h_atom = scf(frames[0][:H_ATOM], spin=1), scf(frames[0][[H_ATOM]], spin=1)
    for r in EXTRA_DISTANCES_A:
        frames.append(frames[0].copy())
        frames[-1].set_distance(O_ATOM, H_ATOM, r, fix=0)
    frames = {round(float(f.get_distance(O_ATOM, H_ATOM)), 5): f for f in frames}
    done = {f.info["OH_dist"]: f for f in read(OUTPUT, ":")} if OUTPUT.exists() else {}
    order, dms, dm = sorted(frames), {}, None
    for sweep, r in tqdm([(1, r) for r in order[::-1]] + [(2, r) for r in order], unit="point"):
        if r not in done or done[r].info["sweeps"] < sweep:
            new, guesses = frames[r].copy(), [] if dm is None else [dm]
            guesses += starts(new, ethoxy, h_atom) if sweep == 1 or dm is None else []
            screened = [scf(new, guess, fine=False) for guess in guesses]
            mf = scf(new, min(screened, key=lambda mf: mf.e_tot).make_rdm1())
            if r not in done or mf.e_tot * Hartree < done[r].get_potential_energy() - 1e-6:
                mf, done[r] = follow(new, mf), new
                new.info = {"OH_dist": r, "S2": round(abs(mf.spin_square()[0]), 6), "theory": LEVEL}
                new.calc = SinglePointCalculator(new, energy=mf.e_tot * Hartree)
                dms[r] = mf.make_rdm1()
            done[r].info["sweeps"] = sweep
            write(f"{OUTPUT}.tmp", [done[k] for k in sorted(done)], format="extxyz")
            os.replace(f"{OUTPUT}.tmp", OUTPUT)
        dm = dms.get(r)


if __name__ == "__main__":
    if not os.path.isfile("".join(sys.argv[1:2])):
        sys.exit("usage: reference_oh_scan.py INPUT.xyz (no such input file)")
    main(sys.argv[1])
