"""The kinds of reference methods: xTB, density functionals, scripts; models have a file of their own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from importlib import import_module
from types import ModuleType

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator, InputError
from ase.data import chemical_symbols

from ase_schnet.arguments import positive
from ase_schnet.labelling.script import EXAMPLE, called, found_in, takes_charge
from ase_schnet.structures.electrons import lowest_multiplicity, signed, stated

INSTALL = "pip install 'ase-schnet[reference]'"
LAST_XTB_ELEMENT = 86  # radon
DFT_OPTIONS = ("uks", "exact", "fine")


@dataclass(frozen=True)
class Reference(ABC):
    """Hold a reference method: what it is called, and how to make its calculators.

    Attributes
    ----------
    text
        What the user wrote, such as ``"pyscf:PBE/def2-SVP"``, with lasting paths.
    level_of_theory
        Its name in the field, such as ``"PBE/def2-SVP"``.
    identity
        Text that is equal for two references only if they give the same labels.
    time_limit_s
        Longest time of one label, s; None: no limit. What takes longer has no label.
    """

    text: str
    level_of_theory: str
    identity: str
    time_limit_s: float | None = field(default=None, kw_only=True)

    def __call__(self, atoms: Atoms) -> BaseCalculator:
        """Return a new calculator for the charge and multiplicity that a structure states."""
        return self.calculator(*whole_electrons(atoms))

    def within(self, time_limit_s: float) -> Reference:
        """Return the same method with a limit of the time of one label, s; ValueError unless above 0.

        Processes of this machine keep it: with ``jobs=1`` one is started, and an executor is refused.
        """
        return replace(self, time_limit_s=positive("time_limit_s", time_limit_s))

    @property
    def needs_electrons(self) -> bool:
        """Whether a molecule with an odd number of electrons must state its charge or multiplicity."""
        return True

    def keeps_spins_paired(self, atoms: Atoms) -> bool:
        """Return whether the electrons of a structure, a singlet, stay paired where a bond breaks."""
        return False

    @abstractmethod
    def calculator(self, charge: int = 0, multiplicity: int | None = None) -> BaseCalculator:
        """Return a new calculator, for one process and one thread.

        Parameters
        ----------
        charge
            Total charge, e.
        multiplicity
            2S + 1; None: the lowest that the number of electrons allows.

        Raises
        ------
        ValueError
            Its program is not installed, or its file is no longer there; in one line.
        """

    def require_supported(
        self, atoms: Atoms, charge: int = 0, multiplicity: int | None = None
    ) -> None:
        """Refuse a structure that the method cannot describe.

        Raises
        ------
        InputError
            In one line: no atoms, positions that are not finite, a number of electrons that contradicts the
            multiplicity, or what the method lacks: parameters of an element, a basis, periodic cells.
        """
        if len(atoms) == 0:
            raise InputError("the structure has no atoms")
        if not np.isfinite(atoms.positions).all():
            raise InputError("the structure has positions that are not finite")
        if atoms.numbers.min() < 1 or atoms.numbers.max() > 118:
            raise InputError("the structure has atoms that are no elements (dummy or ghost atoms)")
        electrons = int(atoms.numbers.sum()) - charge
        if electrons < 0:
            raise InputError(f"the charge {charge:+d} is larger than that of all nuclei together")
        if multiplicity is None:
            return
        lowest = lowest_multiplicity(atoms.numbers, charge)
        if (multiplicity - lowest) % 2 or not 1 <= multiplicity <= electrons + 1:
            raise InputError(
                f"{atoms.get_chemical_formula()} with charge {signed(charge)} has {electrons} electrons, "
                f"which cannot have multiplicity {multiplicity}: state the charge or the multiplicity"
            )


@dataclass(frozen=True)
class XTBReference(Reference):
    """Hold GFN2-xTB or GFN1-xTB at an electronic temperature (K), by tblite."""

    method: str
    temperature_K: float

    def calculator(self, charge: int = 0, multiplicity: int | None = None) -> BaseCalculator:
        """Return a new calculator; see :meth:`Reference.calculator`."""
        make = engine("ase_schnet.labelling.xtb", "tblite", self.level_of_theory).xtb_calculator
        return make(self.method, self.temperature_K, charge, multiplicity)

    def require_supported(
        self, atoms: Atoms, charge: int = 0, multiplicity: int | None = None
    ) -> None:
        """Refuse what :meth:`Reference.require_supported` does, elements beyond radon, wires and slabs."""
        super().require_supported(atoms, charge, multiplicity)
        heavy = sorted({chemical_symbols[z] for z in atoms.numbers if z > LAST_XTB_ELEMENT})
        if heavy:
            raise InputError(f"{self.method} has no parameters for {', '.join(heavy)}")
        if atoms.pbc.any() and not atoms.pbc.all():
            raise InputError(
                f"{self.method} by tblite takes molecules and crystals, not pbc {atoms.pbc.tolist()}"
            )


@dataclass(frozen=True)
class DFTReference(Reference):
    """Hold a density functional and a basis, by pyscf."""

    functional: str
    basis: str
    options: tuple[str, ...]

    def keeps_spins_paired(self, atoms: Atoms) -> bool:
        """Return whether a structure is calculated restricted."""
        charge, multiplicity = whole_electrons(atoms)
        lowest = lowest_multiplicity(atoms.numbers, charge)
        return "uks" not in self.options and (multiplicity or lowest) == 1

    def calculator(self, charge: int = 0, multiplicity: int | None = None) -> BaseCalculator:
        """Return a new calculator; see :meth:`Reference.calculator`."""
        dft = engine("ase_schnet.labelling.dft", "pyscf", self.level_of_theory)
        settings = dft.DFTSettings(
            self.functional,
            self.basis,
            broken_symmetry="uks" in self.options,
            density_fit="exact" not in self.options,
            grid_level=4 if "fine" in self.options else 3,
        )
        return dft.DFTCalculator(settings, charge, multiplicity)

    def require_supported(
        self, atoms: Atoms, charge: int = 0, multiplicity: int | None = None
    ) -> None:
        """Refuse what :meth:`Reference.require_supported` does, cells, and elements without a basis."""
        super().require_supported(atoms, charge, multiplicity)
        if atoms.pbc.any():
            raise InputError(
                f"{self.text} is for molecules, the structure is periodic (pbc {atoms.pbc.tolist()}); remove "
                "the box with ase_schnet.structures.box.without_box(atoms) (--no-pbc)"
            )
        has_basis = engine("ase_schnet.labelling.dft", "pyscf", self.level_of_theory).has_basis
        symbols = sorted(set(atoms.get_chemical_symbols()))
        without = [symbol for symbol in symbols if not has_basis(self.basis, symbol)]
        if without:
            raise InputError(f"pyscf has no basis {self.basis} for {', '.join(without)}")


@dataclass(frozen=True)
class ScriptReference(Reference):
    """Hold a name in a script that returns an ASE calculator, or is one."""

    path: str
    name: str
    digest: str

    @property
    def needs_electrons(self) -> bool:
        """Whether a molecule must state its charge: if the script takes one."""
        return takes_charge(found_in(self.path, self.name, self.digest))

    def calculator(self, charge: int = 0, multiplicity: int | None = None) -> BaseCalculator:
        """Call what the script has; with charge and multiplicity if it takes them."""
        found = found_in(self.path, self.name, self.digest)
        return called(found, f"{self.name} of {self.path}", charge, multiplicity)

    def require_supported(
        self, atoms: Atoms, charge: int = 0, multiplicity: int | None = None
    ) -> None:
        """Refuse what :meth:`Reference.require_supported` does, and a charge that the script cannot take."""
        super().require_supported(atoms, charge, multiplicity)
        if charge and not takes_charge(found_in(self.path, self.name, self.digest)):
            raise InputError(
                f"the structure has charge {signed(charge)}, and {self.name} of {self.path} takes no charge; "
                f"write {EXAMPLE}"
            )


def whole_electrons(atoms: Atoms) -> tuple[int, int | None]:
    """Return the charge (0 if unknown) and multiplicity (None if unknown) that a structure states.

    Raises
    ------
    InputError
        One of them is not a whole number.
    """
    said = stated(atoms.info, atoms.arrays)
    for name, value in (("charge", said.charge), ("multiplicity", said.multiplicity)):
        if value is not None and value != round(value):
            raise InputError(f"the {name} {value:g} is not a whole number")
    return int(said.charge or 0), None if said.multiplicity is None else int(said.multiplicity)


def engine(module: str, package: str, wanted: str) -> ModuleType:
    """Import a module of ours that needs an extra; ValueError with the cure if it is not installed."""
    try:
        return import_module(module)
    except ImportError as error:
        raise ValueError(f"{wanted} needs {package} ({error}): {INSTALL}") from None
