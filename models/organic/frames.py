"""Labelled frames of molecules: relaxed, thermal, in motion, turned, stretched, met by another molecule.

    python models/organic/frames.py DIRECTORY PART [SECONDS]     PART.npz from molecules.csv

Each label is GFN2-xTB's. Of a molecule: a conformer of ETKDG is brought near the minimum of GFN2 by Newton
steps with the Hessian of MMFF94 (`Molecule.relax`); about it, positions and velocities are drawn from the
Boltzmann distribution of that Hessian at 250 to 1500 K (`draw`), as frames and as the start of short runs;
moves of the package turn and stretch bonds and bring two molecules together. So nearly every evaluation of
GFN2 is of use. Chunks of molecules are files in DIRECTORY/PART.parts: a stopped run goes on, and after
SECONDS what is there is joined.
"""

from __future__ import annotations

import csv
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
from ase import Atoms, units
from ase.data import atomic_masses
from numpy.typing import NDArray
from rdkit import Chem, RDLogger
from rdkit.Chem import AllChem
from tblite.interface import Calculator
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from ase_schnet.runtime.files import whole_file
from ase_schnet.sampling.collide import collide
from ase_schnet.sampling.plan import SamplingPlan
from ase_schnet.sampling.rotate import rotate
from ase_schnet.sampling.stretch import stretch_one
from ase_schnet.sampling.topology import Topology

SEED, CHUNK = 23, 50
COLDEST_K, HOTTEST_K = 250.0, 1500.0
TEST_K = (300.0, 500.0)
#: Conformers that are tried of a molecule; energies, eV, that are those of one; fewest of a molecule.
CONFORMERS, SAME_ENERGY, FEWEST_CONFORMERS = 7, 2e-3, 4
#: Heavy atoms of a small molecule; how many times as many frames as of another it has.
SMALL, SMALL_ROUNDS = 3, 4
#: Largest force of a training frame, eV/Å.
LARGEST_FORCE = 30.0
#: Stiffness of the softest mode that is drawn as it is, eV/Å²/amu: 200 cm⁻¹. Softer ones are curved.
SOFTEST = (200 / 521.47) ** 2
#: Stiffness of MMFF below which a Newton step is no longer trusted, eV/Å²; longest way of an atom in it, Å.
SOFTEST_STEP, LONGEST_STEP = 1.5, 0.15
KCAL = units.kcal / units.mol


class Frame(NamedTuple):
    """Hold a labelled structure: positions Å, energy eV, forces eV/Å, kind, temperature K (0: none)."""

    numbers: NDArray
    positions: NDArray
    energy: float
    forces: NDArray
    kind: str
    temperature_K: float


class Labeller:
    """Evaluate GFN2-xTB of one molecule; each SCF starts from the last one's result."""

    def __init__(self, numbers: NDArray, positions: NDArray):
        self._calculator = Calculator("GFN2-xTB", numbers, positions / units.Bohr)
        self._calculator.set("verbosity", 0)
        self._result = None

    def __call__(self, positions: NDArray) -> tuple[float, NDArray]:
        """Return energy in eV and forces (N, 3) in eV/Å. Raises RuntimeError where the SCF fails."""
        self._calculator.update(positions / units.Bohr)
        try:
            self._result = self._calculator.singlepoint(self._result)
        except RuntimeError:
            self._result = None
            raise
        gradient = self._result.get("gradient")
        return float(self._result.get("energy")) * units.Hartree, -gradient * (
            units.Hartree / units.Bohr
        )


class Molecule:
    """Hold one conformer near its minimum, and the modes of MMFF94 about it.

    Parameters
    ----------
    smiles
        The molecule.
    seed
        Of the conformer.

    Raises
    ------
    ValueError
        If ETKDG or MMFF94 cannot describe it.
    """

    def __init__(self, smiles: str, seed: int):
        self._molecule = Chem.AddHs(Chem.MolFromSmiles(smiles))
        if AllChem.EmbedMolecule(self._molecule, randomSeed=seed) != 0:
            raise ValueError("no conformer")
        properties = AllChem.MMFFGetMoleculeProperties(self._molecule)
        if properties is None:
            raise ValueError("no parameters of MMFF94")
        self.field = AllChem.MMFFGetMoleculeForceField(self._molecule, properties)
        self.field.Minimize(maxIts=500)
        Chem.AssignStereochemistryFrom3D(self._molecule)
        #: With the stereochemistry of this conformer, so that others are of the same molecule.
        self.smiles = Chem.MolToSmiles(Chem.RemoveHs(self._molecule))
        self.numbers = np.array([a.GetAtomicNum() for a in self._molecule.GetAtoms()])
        self.positions = self._molecule.GetConformer().GetPositions()
        self.masses = atomic_masses[self.numbers]
        self.label = Labeller(self.numbers, self.positions)
        self._hessian()

    def _hessian(self) -> None:
        """Find the Hessian of MMFF94 by differences, eV/Å², and its modes."""
        flat, step = self.positions.ravel(), 1e-3
        rows = []
        for k in range(len(flat)):
            ends = []
            for sign in (1, -1):
                moved = flat.copy()
                moved[k] += sign * step
                self.field.CalcEnergy(
                    moved.tolist()
                )  # else CalcGrad takes the distances of the last call
                ends.append(np.array(self.field.CalcGrad(moved.tolist())))
            rows.append((ends[0] - ends[1]) / (2 * step))
        hessian = np.array(rows) * KCAL
        self.hessian = 0.5 * (hessian + hessian.T)
        root = np.repeat(np.sqrt(self.masses), 3)
        values, vectors = np.linalg.eigh(self.hessian / np.outer(root, root))
        order = np.argsort(np.abs(values))[6 if len(self.numbers) > 2 else 5 :]
        self._stiffness = np.maximum(np.abs(values[order]), SOFTEST)  # eV/Å²/amu
        self._modes = vectors[:, order] / root[:, None]  # (3N, modes) Å per √amu Å

    def relax(self, steps: int) -> list[Frame]:
        """Go towards the minimum of GFN2 with the Hessian of MMFF94; return the frames on the way."""
        values, vectors = np.linalg.eigh(self.hessian)
        values = np.maximum(np.abs(values), SOFTEST_STEP)
        way = []
        for k in range(steps):
            energy, forces = self.label(self.positions)
            kind = "near the minimum" if k else "conformer"
            way.append(Frame(self.numbers, self.positions.copy(), energy, forces, kind, 0.0))
            step = (vectors @ ((vectors.T @ forces.ravel()) / values)).reshape(-1, 3)
            longest = np.linalg.norm(step, axis=1).max()
            self.positions += step * min(1.0, LONGEST_STEP / max(longest, 1e-9))
        return way

    def draw(self, temperature_K: float, rng: np.random.Generator) -> tuple[NDArray, NDArray]:
        """Return positions (N, 3) in Å and velocities in ASE's unit, at a temperature."""
        kT = units.kB * temperature_K
        q = rng.normal(size=len(self._stiffness)) * np.sqrt(kT / self._stiffness)
        velocities = rng.normal(size=self.positions.shape) * np.sqrt(kT / self.masses)[:, None]
        return self.positions + (self._modes @ q).reshape(-1, 3), velocities

    def thermal(self, temperature_K: float, rng: np.random.Generator) -> Frame:
        """Return a frame of the distribution of the modes."""
        positions, _ = self.draw(temperature_K, rng)
        return Frame(self.numbers, positions, *self.label(positions), "thermal", temperature_K)

    def run(
        self,
        temperature_K: float,
        every: int,
        n: int,
        rng: np.random.Generator,
        timestep_fs: float = 1.0,
    ) -> list[Frame]:
        """Return `n` frames of a run of molecular dynamics (NVE, velocity Verlet), one of `every` steps."""
        positions, velocities = self.draw(temperature_K, rng)
        step, frames = timestep_fs * units.fs, []
        inverse = 1 / self.masses[:, None]
        _, forces = self.label(positions)
        for k in range(1, every * n + 1):
            velocities += 0.5 * step * forces * inverse
            positions = positions + step * velocities
            energy, forces = self.label(positions)
            velocities += 0.5 * step * forces * inverse
            if k % every == 0:
                frames.append(
                    Frame(self.numbers, positions, energy, forces, "dynamics", temperature_K)
                )
        return frames

    def moved(self, kind: str, rng: np.random.Generator) -> list[Frame]:
        """Return a frame with bonds turned, stretched or parts in contact; none where that is impossible."""
        atoms = Atoms(self.numbers, self.positions)
        atoms = MOVES[kind](atoms, Topology(atoms), PLAN, rng)
        if atoms is None:
            return []
        return [Frame(self.numbers, atoms.positions, *self.label(atoms.positions), kind, 0.0)]


MOVES = {"turned": rotate, "stretched": stretch_one, "contact": collide}
PLAN = SamplingPlan(
    noise_Ang=(0.0, 0.06), stretch_factors=(0.78, 2.6), stretch_noise_Ang=(0.0, 0.04)
)


def hot(rng: np.random.Generator) -> float:
    """Return a temperature of training frames, K."""
    return float(np.exp(rng.uniform(np.log(COLDEST_K), np.log(HOTTEST_K))))


def training_frames(smiles: str, rng: np.random.Generator) -> list[Frame]:
    """Return some twelve frames of a molecule."""
    molecule = Molecule(smiles, int(rng.integers(2**31)))
    frames = molecule.relax(3)
    frames = [frames[0], frames[-1]]
    frames += molecule.run(hot(rng), 4, 3, rng)
    frames += [molecule.thermal(hot(rng), rng) for _ in range(5)]
    kind = ("turned", "turned", "stretched", "contact")[rng.integers(4)]
    return frames + molecule.moved(kind, rng)


def test_frames(smiles: str, rng: np.random.Generator) -> list[Frame]:
    """Return three frames of a run at each of the temperatures of the tests, 12 fs apart, after 12 fs."""
    molecule = Molecule(smiles, int(rng.integers(2**31)))
    molecule.relax(5)
    return [frame for kelvin in TEST_K for frame in molecule.run(kelvin, 12, 3, rng)]


def dimer_frames(smiles: str, rng: np.random.Generator) -> list[Frame]:
    """Return frames of two molecules in contact, given as one SMILES with a dot."""
    parts = [Molecule(text, int(rng.integers(2**31))) for text in smiles.split(".")]
    frames = []
    for _ in range(6):
        pieces = [Atoms(part.numbers, part.draw(hot(rng), rng)[0]) for part in parts]
        pieces[1].positions += 50.0
        both = pieces[0] + pieces[1]
        both = collide(both, Topology(both), PLAN, rng)
        label = Labeller(both.numbers, both.positions)
        frames.append(Frame(both.numbers, both.positions, *label(both.positions), "dimer", 0.0))
    return frames


def conformer_frames(smiles: str, rng: np.random.Generator) -> list[Frame]:
    """Return the different conformers of a stereoisomer near their minima; none of fewer than four."""
    stereo, found = Molecule(smiles, int(rng.integers(2**31))).smiles, []
    for _ in range(CONFORMERS):
        last = Molecule(stereo, int(rng.integers(2**31))).relax(4)[-1]
        if all(abs(last.energy - other.energy) > SAME_ENERGY for other in found):
            found.append(last)
    return found if len(found) >= FEWEST_CONFORMERS else []


def small_frames(smiles: str, rng: np.random.Generator) -> list[Frame]:
    """Return as many frames of a small molecule as the training has of four others, all moves among them."""
    return [frame for _ in range(SMALL_ROUNDS) for frame in training_frames(smiles, rng)]


def frames_of(part: str, smiles: str, rng: np.random.Generator) -> list[Frame]:
    """Return the frames of a molecule; none where a method fails."""
    make = dict.fromkeys(("new", "larger", "group"), test_frames)
    make |= {"train": training_frames, "dimers": dimer_frames, "conformers": conformer_frames}
    make |= {"small": small_frames, "rings": training_frames}
    try:
        frames = make[part](smiles, rng)
    except (ValueError, RuntimeError):  # ETKDG, MMFF94 or the SCF cannot describe it
        return []
    return [f for f in frames if np.abs(f.forces).max() < LARGEST_FORCE]


def read_molecules(directory: Path, part: str) -> list[str]:
    """Return the SMILES of a part; pairs of small ones of the training for "dimers".

    "small" are those of the training that have at most `SMALL` heavy atoms, at their places in it, so that
    the number of a molecule is the same in both parts; at the others is "".
    """
    with open(directory / "molecules.csv", newline="") as file:
        rows = [(row["part"], row["smiles"]) for row in csv.DictReader(file)]
    if part == "conformers":
        return [smiles for where, smiles in rows if where in ("new", "larger") and turnable(smiles)]
    if part == "small":
        texts = [smiles for where, smiles in rows if where == "train"]
        return [s if Chem.MolFromSmiles(s).GetNumHeavyAtoms() <= SMALL else "" for s in texts]
    if part != "dimers":
        return [smiles for where, smiles in rows if where == part]
    small = [
        s for where, s in rows if where == "train" and Chem.MolFromSmiles(s).GetNumHeavyAtoms() <= 5
    ]
    rng = np.random.default_rng([SEED, 1])
    return [".".join(rng.choice(small, 2)) for _ in range(2 * len(small))]


def turnable(smiles: str) -> bool:
    """Return whether a molecule has a bond that is turned by more than the hydrogens of one atom."""
    return Chem.rdMolDescriptors.CalcNumRotatableBonds(Chem.MolFromSmiles(smiles)) > 1


def packed(frames: list[Frame], molecules: list[int]) -> dict[str, NDArray]:
    """Return the arrays of PhysNet's layout, padded, with kind, temperature and number of the molecule."""
    n = np.array([len(f.numbers) for f in frames], np.int64)
    shape = len(frames), int(n.max(initial=1))
    arrays = {
        "Z": np.zeros(shape, np.int64),
        "R": np.zeros((*shape, 3)),
        "F": np.zeros((*shape, 3)),
    }
    for k, f in enumerate(frames):
        arrays["Z"][k, : n[k]], arrays["R"][k, : n[k]], arrays["F"][k, : n[k]] = f[0], f[1], f[3]
    return arrays | {
        "N": n,
        "E": np.array([f.energy for f in frames], float),
        "kind": np.array([f.kind for f in frames], str),
        "temperature_K": np.array([f.temperature_K for f in frames], float),
        "molecule": np.array(molecules, np.int64),
    }


def make_chunk(path: Path, part: str, molecules: list[str], first: int) -> None:
    """Label the frames of some molecules and write them."""
    frames, numbers = [], []
    for k, smiles in enumerate(molecules, first):
        if not smiles:
            continue
        rng = np.random.default_rng([SEED, sum(map(ord, part)), k])
        found = frames_of(part, smiles, rng)
        frames, numbers = frames + found, numbers + [k] * len(found)
    with whole_file(path) as file:
        np.savez_compressed(file, **packed(frames, numbers))


def joined(paths: list[Path]) -> dict[str, NDArray]:
    """Join chunks."""
    parts = [dict(np.load(path)) for path in paths]
    width = max(part["Z"].shape[1] for part in parts)
    for part in parts:
        for name in ("Z", "R", "F"):
            missing = [(0, 0), (0, width - part[name].shape[1])] + [(0, 0)] * (part[name].ndim - 2)
            part[name] = np.pad(part[name], missing)
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def main(directory: Path, part: str, seconds: float) -> None:
    """Make the chunks of a part that are missing, as long as there is time, and join them."""
    RDLogger.DisableLog("rdApp.*")
    molecules, begun = read_molecules(directory, part), time.monotonic()
    parts = directory / f"{part}.parts"
    parts.mkdir(exist_ok=True)
    with threadpool_limits(1):
        for first in tqdm(range(0, len(molecules), CHUNK), desc=part, mininterval=10):
            path = parts / f"{first:06d}.npz"
            if not any(molecules[first : first + CHUNK]):
                continue
            if not path.exists() and time.monotonic() - begun < seconds:
                make_chunk(path, part, molecules[first : first + CHUNK], first)
    with whole_file(directory / f"{part}.npz") as file:
        np.savez(file, **joined(sorted(parts.glob("*.npz"))))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], float(sys.argv[3]) if len(sys.argv) > 3 else np.inf)
