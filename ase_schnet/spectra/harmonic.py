"""Normal modes: harmonic frequencies, infrared intensities, which bonds a mode stretches, how it moves."""

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import Calculator, InputError
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixAtoms
from ase.optimize import BFGS
from ase.vibrations import Infrared, Vibrations, VibrationsData
from numpy.typing import NDArray

from ase_schnet.bonds import bonded_pairs
from ase_schnet.degrees_of_freedom import LINEAR_INERTIA_RATIO, check_atoms
from ase_schnet.runtime.files import write_csv
from ase_schnet.structures.box import without_needless_box
from ase_schnet.structures.old_results import info_for_results
from ase_schnet.structures.writing import write_frames
from ase_schnet.units import PACKAGE_UNITS

#: Largest force after relaxation, eV/Å; small enough for the softest torsions.
FMAX = 1e-3
#: Largest number of steps of the relaxation.
MAX_STEPS = 1000
#: A mode is named after a kind of bond if its stretching has this share of the kinetic energy.
STRETCH = 0.4
_ANIMATION = re.compile(r"mode_\d+_-?\d+cm\.xyz")
#: An imaginary mode below this, cm⁻¹, is no noise of a soft torsion.
SOFT_CM = 10.0


@dataclass(frozen=True, eq=False)
class NormalModes:
    """Hold the M vibrations of a relaxed structure.

    Attributes
    ----------
    wavenumber_cm
        Wavenumbers (M,), cm⁻¹, rising; imaginary ones are negative.
    intensity_km_per_mol
        Infrared intensities (M,), km/mol; None if the calculator has no dipole.
    names
        Names of the M modes, such as "O–H stretch"; "" for modes that stretch no bonds.
    displacements
        Displacements (M, N, 3) of the atoms, normalised to Σ m d² = 1 with m in amu; or None.
    wavenumber_error_cm, intensity_error_km_per_mol
        Half widths (M,) of the intervals that an ensemble gives them; None where nothing is known of it.
        :func:`~ase_schnet.propagation.harmonic_spread` fills them in.
    structure
        The relaxed structure, with its energy and forces; or None.
    """

    wavenumber_cm: NDArray
    intensity_km_per_mol: NDArray | None
    names: tuple[str, ...]
    displacements: NDArray | None = None
    wavenumber_error_cm: NDArray | None = None
    intensity_error_km_per_mol: NDArray | None = None
    structure: Atoms | None = None

    @property
    def n_imaginary(self) -> int:
        """Number of modes that are imaginary by more than the noise of a soft torsion: 0 at a minimum."""
        return int((self.wavenumber_cm < -SOFT_CM).sum())

    @property
    def zero_point_energy_eV(self) -> float:
        """Half of Σ hν over the modes that are not imaginary, eV."""
        return zero_point_energy(self.wavenumber_cm)

    def write_csv(self, path: str | Path) -> None:
        """Write a table with a line for each mode; every number reads back to the same bits."""
        table = {
            "wavenumber (cm⁻¹)": self.wavenumber_cm,
            "intensity (km/mol)": self.intensity_km_per_mol,
            "mode": np.array(self.names, dtype=object),
        }
        write_csv(path, table)

    def animation(self, mode: int, *, n_frames: int = 24, reach_Ang: float = 0.3) -> list[Atoms]:
        """Return one period of a mode, to look at.

        Parameters
        ----------
        mode
            Which of the M modes, from 0.
        n_frames
            Number of frames; the one after the last would be the first again.
        reach_Ang
            How far the atom that moves most goes, Å.

        Raises
        ------
        ValueError
            Structure or displacements are not known.
        """
        if self.structure is None or self.displacements is None:
            raise ValueError("these modes have no structure or no displacements: compute them anew")
        step = self.displacements[mode]
        step = step * (reach_Ang / np.linalg.norm(step, axis=1).max())
        frames = []
        for phase in 2 * np.pi * np.arange(n_frames) / n_frames:
            frame = self.structure.copy()
            frame.positions += np.sin(phase) * step
            frame.info = {"wavenumber_cm": self.wavenumber_cm[mode], "mode": self.names[mode]}
            frames.append(frame)
        return frames

    def write_animations(self, folder: str | Path) -> None:
        """Write the period of each mode into a folder, in place of all files of an earlier call.

        Parameters
        ----------
        folder
            It is made if missing. Files are named like ``mode_01_1053cm.xyz``; others in it stay.

        Raises
        ------
        ValueError
            As :meth:`animation`.
        """
        folder, digits = Path(folder), len(str(len(self.names)))
        folder.mkdir(parents=True, exist_ok=True)
        stale = {path.name for path in folder.iterdir() if _ANIMATION.fullmatch(path.name)}
        for k, wavenumber in enumerate(self.wavenumber_cm):
            name = f"mode_{k:0{digits}}_{wavenumber:.0f}cm.xyz"
            write_frames(folder / name, self.animation(k), {})
            stale.discard(name)
        for name in stale:
            (folder / name).unlink()


def zero_point_energy(wavenumber_cm: NDArray) -> float:
    """Return half of Σ hν (eV) of harmonic wavenumbers (M,), cm⁻¹; imaginary ones, negative, have none."""
    return float(0.5 * units.invcm * wavenumber_cm[wavenumber_cm > 0].sum())


def normal_modes(atoms: Atoms) -> NormalModes:
    """Relax a copy of ``atoms`` and compute its normal modes with ``ase.vibrations``.

    Overall translation and rotation are left out, as far as no held atom moves in them. So is a box around
    molecules that is nothing to the calculator (:func:`~ase_schnet.structures.box.without_needless_box`).

    Parameters
    ----------
    atoms
        Structure with a calculator, near an energy minimum. Atoms may be held in place (``FixAtoms``).

    Returns
    -------
    NormalModes
        Frequencies, names and, if the calculator has a dipole of such a structure, infrared intensities; the
        relaxed structure.

    Raises
    ------
    ValueError
        If no atom can move, or there is no calculator.
    InputError
        If the structure cannot be relaxed, is a single atom, or has constraints other than ``FixAtoms``.
    """
    check_atoms(atoms)
    if len(atoms) == 1:
        raise InputError("a single atom does not vibrate")
    held = _held(atoms)
    relaxed = _relaxed(without_needless_box(atoms))
    at_rest = relaxed.copy()
    at_rest.info = info_for_results(at_rest.info, str(PACKAGE_UNITS))
    results = {"energy": relaxed.get_potential_energy(), "forces": relaxed.get_forces()}
    at_rest.calc = SinglePointCalculator(at_rest, **results)
    has_dipole = _has_dipole(relaxed.calc)
    relaxed.set_constraint()  # atoms that are held are not displaced; ASE would print a warning
    with tempfile.TemporaryDirectory() as folder:  # ASE keeps the displacements in files
        kind, options = (Infrared if has_dipole else Vibrations), {"name": Path(folder) / "modes"}
        vibrations = kind(relaxed, indices=np.flatnonzero(~held), **options)
        vibrations.run()
        vibrations.read()
    data = VibrationsData.from_2d(relaxed, vibrations.H, indices=vibrations.indices)
    energies, displacements = data.get_energies_and_modes(all_atoms=True)  # (K,), (K, N, 3)
    wavenumber = (energies.real - np.abs(energies.imag)) / units.invcm
    kept = np.sort(np.argsort(np.abs(wavenumber))[_n_rigid_motions(relaxed, held) :])
    intensity = None
    if has_dipole:
        intensity = vibrations.intensities[kept] * vibrations.intensity_prefactor("km/mol")[0]
    return NormalModes(
        wavenumber[kept],
        intensity,
        tuple(_stretches(relaxed, displacements[kept])),
        displacements[kept],
        structure=at_rest,
    )


def _has_dipole(calculator: Calculator) -> bool:
    """Tell whether a calculator has a dipole of the structure that it last evaluated.

    A model's dipole knows one molecule, and not another that the model has energies of.
    """
    known = "dipole" in calculator.implemented_properties
    return known and "dipole" in getattr(calculator, "on_request", ("dipole",))


def _relaxed(atoms: Atoms) -> Atoms:
    """Return a relaxed copy with the same calculator; InputError if it does not come to rest."""
    relaxed = atoms.copy()
    relaxed.calc = atoms.calc
    with BFGS(relaxed, logfile=None) as optimiser:
        if not optimiser.run(fmax=FMAX, steps=MAX_STEPS):
            raise InputError(
                f"the structure did not relax to {FMAX} eV/Å in {MAX_STEPS} steps: it has no normal modes"
            )
    return relaxed


def _held(atoms: Atoms) -> NDArray:
    """Return which atoms are held in place, (N,) bool; InputError for other constraints."""
    held = np.zeros(len(atoms), dtype=bool)
    for constraint in atoms.constraints:
        if not isinstance(constraint, FixAtoms):
            raise InputError(
                "normal modes are those of atoms that are free or held in place, and "
                f"{type(constraint).__name__} does neither: remove this constraint, or hold whole atoms "
                "(FixAtoms)"
            )
        held[constraint.index] = True
    return held


def _n_rigid_motions(atoms: Atoms, held: NDArray) -> int:
    """Count the rigid motions in which no held atom (N,) moves: 6 of a free molecule.

    A crystal cannot turn; what is periodic in one direction turns about that.
    """
    periodic = np.flatnonzero(atoms.pbc)
    axes = {0: np.eye(3), 1: atoms.cell.array[periodic]}.get(len(periodic), np.empty((0, 3)))
    axes = axes / np.linalg.norm(axes, axis=1, keepdims=True)
    mass = atoms.get_masses()
    arms = atoms.positions - atoms.get_center_of_mass()
    spread = (arms.T * mass) @ arms
    inertia = np.trace(spread) - np.linalg.eigvalsh(spread)[0]  # the largest moment
    arms *= np.sqrt(mass.sum() / inertia)  # so that a turn counts like a shift
    motions = [np.tile(axis, (len(atoms), 1)) for axis in np.eye(3)]
    motions = np.array([*motions, *(np.cross(axis, arms) for axis in axes)])  # (3 to 6, N, 3)
    motions *= np.sqrt(mass / mass.sum())[:, None]
    least = LINEAR_INERTIA_RATIO**0.5

    def rank(of: NDArray) -> int:
        return int(np.linalg.matrix_rank(motions[:, of].reshape(len(motions), -1), tol=least))

    return rank(np.ones(len(atoms), dtype=bool)) - (rank(held) if held.any() else 0)


def _stretches(atoms: Atoms, displacements: NDArray) -> list[str]:
    """Name each mode (M, N, 3), normalised to Σ m d² = 1, after the bonds that it stretches, or ""."""
    i, j, vectors = bonded_pairs(atoms)
    half = i < j
    i, j, vectors = i[half], j[half], vectors[half]
    along = vectors / np.linalg.norm(vectors, axis=1)[:, None]  # (B, 3)
    stretch = ((displacements[:, j] - displacements[:, i]) * along).sum(axis=2)  # (M, B)
    masses = atoms.get_masses()
    share = masses[i] * masses[j] / (masses[i] + masses[j]) * stretch**2  # (M, B)
    # hydrogen last, carbon first, as one writes C–H and C–O but O–H
    order = {symbol: k for k, symbol in enumerate(["C", "N", "O", "H"])}
    kinds = np.array(
        [
            "–".join(sorted(atoms.symbols[[a, b]], key=lambda s: order.get(s, -1)))
            for a, b in zip(i, j, strict=True)
        ]
    )
    names = []
    for mode in share:
        totals = {str(kind): mode[kinds == kind].sum() for kind in np.unique(kinds)}
        best = max(totals, key=totals.get, default=None)
        names.append(f"{best} stretch" if best and totals[best] >= STRETCH else "")
    return names
