"""Molecules in the layout in which QM9 was published, and archives of them."""

import io
import tarfile

import numpy as np
from ase import Atoms

U0 = -40.47893
HARTREE = 27.211386
METHANE = """\
5
gdb 1\t157.7118\t157.70997\t157.70699\t0.\t13.21\t-0.3877\t0.1171\t0.5048\t35.3641\t0.044749\t-40.47893\t\
-40.476062\t-40.475117\t-40.498597\t6.469\t
C\t-0.0126981359\t 1.0858041578\t 0.0080009958\t-0.535689
H\t 2.150416*^-3\t-6.0313176*^-3\t 1.9761204*^-3\t 0.133921
H\t 1.0117308433\t 1.4637511618\t 0.0002765748\t 0.133922
H\t-0.540815069\t 1.4475266138\t-0.8766437152\t 0.133923
H\t-0.5238136345\t 1.4379326443\t 0.9063972942\t 0.133923
1341.307\t1341.3284\t1341.365\t1562.6731\t1562.7453\t3038.3205\t3151.6034\t3151.6788\t3151.7078
C\tC\t
InChI=1S/CH4/h1H4\tInChI=1S/CH4/h1H4
"""
"""The first file of the archive, its first hydrogen written as Mathematica writes small numbers."""


def qm9_text(index: int, atoms: Atoms, energy: float) -> str:
    """One file: `energy` in Hartree as U0, and a little higher as U, H and G."""
    properties = [1.0] * 10 + [energy, energy + 0.003, energy + 0.004, energy - 0.02, 6.5]
    lines = [str(len(atoms)), f"gdb {index}\t" + "\t".join(f"{p:.8f}" for p in properties)]
    lines += [
        f"{symbol}\t{x:.10f}\t{y:.10f}\t{z:.10f}\t-0.1"
        for symbol, (x, y, z) in zip(atoms.symbols, atoms.positions, strict=True)
    ]
    return "\n".join([*lines, "100.0\t200.0", "C\tC", "InChI=1S/C\tInChI=1S/C"]) + "\n"


def write_archive(path, texts, mode="w"):
    """An archive of the texts under the names of QM9's files."""
    with tarfile.open(path, mode) as archive:
        for k, text in enumerate(texts):
            member = tarfile.TarInfo(f"dsgdb9nsd_{k + 1:06d}.xyz")
            content = text.encode()
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def synthetic(rng: np.random.Generator, n_atoms: int) -> tuple[Atoms, float]:
    """Atoms of QM9's elements on a jittered grid, and an energy in Hartree near that of the free atoms."""
    symbols = rng.choice(list("HCNOF"), size=n_atoms, p=[0.51, 0.35, 0.06, 0.078, 0.002])
    grid = np.array(list(np.ndindex(4, 4, 3)))[:n_atoms] * 1.4
    free = {"H": -0.5, "C": -37.85, "N": -54.58, "O": -75.06, "F": -99.72}
    energy = sum(free[s] for s in symbols) - 0.15 * n_atoms + 0.05 * rng.normal()
    return Atoms(list(symbols), grid + rng.normal(scale=0.05, size=grid.shape)), energy
