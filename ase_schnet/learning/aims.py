"""What a model shall be good for, besides dynamics at one temperature: structures that show it.

An aim is a text: ``md 700 20`` (K, ps), ``scan 2 8 0.8 2.0`` (two atoms and distances in Å; three or four
atoms and degrees), ``normal-modes``.
"""

from __future__ import annotations

import math
import warnings
from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator
from ase.data import covalent_radii
from ase.optimize import BFGS

from ase_schnet.arguments import positive, temperature_of_matter
from ase_schnet.bonds import BROKEN_BOND, STRETCHED_BOND, bonded_pairs, bonds_of, fragment_of
from ase_schnet.scan import scan_angle, scan_dihedral, scan_distance
from ase_schnet.scan.coordinate import Coordinate
from ase_schnet.scan.relax import check_relaxable

FORMS = (
    "'md T ps', such as 'md 700 20' (K, ps); 'scan I J FROM TO' (atoms from 0, Å), or three or four atoms "
    "and degrees; 'normal-modes'"
)
#: Points of a scan, and displaced copies of each; width of the displacements, Å.
POINTS, COPIES, WIDTH_ANG = 16, 3, 0.05
#: Displaced copies of the structure at rest, for its normal modes, and their width, Å.
AT_REST, REST_WIDTH_ANG = 40, 0.03
RELAXED_EV_PER_ANG, STEPS = 0.05, 300


@dataclass(frozen=True)
class Aim(ABC):
    """Hold one thing that the model is for.

    Attributes
    ----------
    text
        As the user wrote it.
    """

    text: str

    def structures(
        self, rest: Atoms, calculator: BaseCalculator, rng: np.random.Generator
    ) -> list[Atoms]:
        """Return structures that matter for the aim; none for one that runs show.

        Parameters
        ----------
        rest
            The structure that the user gave.
        calculator
            The best that is known of the surface.
        rng
            Random numbers.
        """
        return []

    @abstractmethod
    def check(self, rest: Atoms) -> None:
        """Raise ValueError if the aim makes no sense for a structure."""

    def breaks_a_bond(self, rest: Atoms) -> bool:
        """Return whether the aim takes bonded atoms apart, and none of them meets another one."""
        return False


@dataclass(frozen=True)
class RunAim(Aim):
    """Hold dynamics at another temperature (K) that runs for some ps."""

    temperature_K: float
    time_ps: float

    def check(self, rest: Atoms) -> None:
        """Accept any structure."""


@dataclass(frozen=True)
class ScanAim(Aim):
    """Hold a path along a distance (Å), an angle or a dihedral (degrees)."""

    indices: tuple[int, ...]
    first: float
    last: float

    def check(self, rest: Atoms) -> None:
        """Raise ValueError for atoms or values with which no scan is possible."""
        if self.first == self.last:
            raise ValueError(f"the aim {self.text!r} goes nowhere: FROM and TO must differ")
        try:
            coordinate = Coordinate.of(rest, self.indices)
            values = coordinate.check_values(self._values())
            check_relaxable(rest, coordinate, values)
            odd = coordinate.suspicion(rest, values)
        except ValueError as error:
            raise ValueError(f"the aim {self.text!r}: {error}") from None
        if odd is not None:
            raise ValueError(f"the aim {self.text!r}: {odd}")

    def structures(
        self, rest: Atoms, calculator: BaseCalculator, rng: np.random.Generator
    ) -> list[Atoms]:
        """Return the points of a rigid and of a relaxed scan, each with displaced copies."""
        atoms = rest.copy()
        atoms.calc = calculator
        scan = {2: scan_distance, 3: scan_angle, 4: scan_dihedral}[len(self.indices)]
        frames: list[Atoms] = []
        with warnings.catch_warnings():
            # that a model which is still learning does not reach every point is no news
            warnings.simplefilter("ignore")
            for relaxed in (False, True):
                found = scan(
                    atoms,
                    *self.indices,
                    self._values(),
                    relaxed=relaxed,
                    fmax=RELAXED_EV_PER_ANG,
                    progress=False,
                )
                if len(found.frames) < POINTS:  # a scan keeps Ctrl-C to itself
                    raise KeyboardInterrupt
                frames += found.frames
        return [
            copy for frame in frames for copy in (frame, *_displaced(frame, COPIES, WIDTH_ANG, rng))
        ]

    def breaks_a_bond(self, rest: Atoms) -> bool:
        """Return whether the far end of a distance is that of a broken bond, and no transfer of an atom."""
        if len(self.indices) != 2 or tuple(sorted(self.indices)) not in bonds_of(rest):
            return False
        i, j = self.indices
        moved, fragment = rest.copy(), fragment_of(rest, i, j)
        length = max(self.first, self.last)
        moved.set_distance(i, j, length, fix=0, indices=fragment)
        if length < BROKEN_BOND * covalent_radii[rest.numbers[[i, j]]].sum():
            return False
        return not _across(moved, fragment) - _across(rest, fragment)

    def _values(self) -> np.ndarray:
        return np.linspace(self.first, self.last, POINTS)


@dataclass(frozen=True)
class ModesAim(Aim):
    """Hold the vibrations about the structure at rest."""

    def check(self, rest: Atoms) -> None:
        """Accept any structure."""

    def structures(
        self, rest: Atoms, calculator: BaseCalculator, rng: np.random.Generator
    ) -> list[Atoms]:
        """Return small displacements from the structure at rest."""
        atoms = rest.copy()
        atoms.calc = calculator
        with BFGS(atoms, logfile=None) as optimiser:
            optimiser.run(fmax=RELAXED_EV_PER_ANG, steps=STEPS)
        return _displaced(atoms, AT_REST, REST_WIDTH_ANG, rng)


def _across(atoms: Atoms, fragment: list[int]) -> set[tuple[int, int]]:
    """Return the pairs of atoms in bonding distance of which the first alone is in a fragment."""
    first, second, _ = bonded_pairs(atoms, STRETCHED_BOND)
    over = np.isin(first, fragment) & ~np.isin(second, fragment)
    return set(zip(first[over].tolist(), second[over].tolist(), strict=True))


def _displaced(frame: Atoms, n: int, width_Ang: float, rng: np.random.Generator) -> list[Atoms]:
    copies = []
    for _ in range(n):
        copy = frame.copy()
        copy.positions += rng.normal(scale=width_Ang, size=copy.positions.shape)
        copies.append(copy)
    return copies


def read_aim(text: str) -> Aim:
    """Return the aim that a text names.

    Raises
    ------
    ValueError
        For anything else; an infrared spectrum needs dipoles, which no label here has.
    """
    kind, *rest = text.split() or [""]
    try:
        if kind == "md" and len(rest) == 2:
            kelvin, picoseconds = float(rest[0]), float(rest[1])
            return RunAim(text, temperature_of_matter("T", kelvin), positive("ps", picoseconds))
        if kind == "scan" and 4 <= len(rest) <= 6:
            first, last = float(rest[-2]), float(rest[-1])
            if not math.isfinite(last - first):
                raise ValueError("FROM and TO must be finite")
            return ScanAim(text, tuple(int(k) for k in rest[:-2]), first, last)
    except ValueError as error:
        raise ValueError(f"the aim {text!r}: {error}; known are {FORMS}") from None
    if kind == "normal-modes" and not rest:
        return ModesAim(text)
    if kind == "ir":
        raise ValueError(
            "an infrared spectrum needs dipoles, which are not learnt here: learn toward 'normal-modes', and "
            "fit dipoles with ase-schnet train-dipole"
        )
    raise ValueError(f"there is no aim {text!r}; known are {FORMS}")
