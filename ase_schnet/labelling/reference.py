"""Reference methods by their text: ``gfn2-xtb``, ``pyscf:PBE/def2-SVP``, a model, or ``FILE.py:NAME``.

A reference is small and can be sent to other processes; each of them makes its own calculator from it.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator, InputError
from ase.data import chemical_symbols

from ase_schnet.applicability.model import require_supported
from ase_schnet.labelling.script import called, found_in, split_script
from ase_schnet.model_directories import ModelFileError, lasting_name
from ase_schnet.modelfile import TrainedModel, load_model
from ase_schnet.structures.electrons import lowest_multiplicity, signed

INSTALL = "pip install 'ase-schnet[reference]'"
FORMS = (
    "gfn2-xtb, gfn2-xtb:300 (electronic temperature in K), gfn1-xtb, pyscf:FUNCTIONAL/BASIS such as "
    "pyscf:PBE/def2-SVP, a model directory or the name of a shipped model, or FILE.py:NAME (what returns an "
    "ASE calculator)"
)
XTB_METHODS = {"gfn2-xtb": "GFN2-xTB", "gfn1-xtb": "GFN1-xTB"}
#: Bonds break into radicals only with fractional occupations. 5000 K is the usual choice for those (Grimme &
#: Hansen 2015, doi:10.1002/anie.201501887; benchmarks/defaults.md).
ELECTRONIC_TEMPERATURE_K = 5000.0
LAST_XTB_ELEMENT = 86  # radon
_DFT_OPTIONS = ("uks", "exact", "fine")


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
    quick
        Whether a structure takes milliseconds, so that many are labelled in one job.
    """

    text: str
    level_of_theory: str
    identity: str
    quick: bool

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
        make = _engine("ase_schnet.labelling.xtb", "tblite", self.level_of_theory).xtb_calculator
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

    def calculator(self, charge: int = 0, multiplicity: int | None = None) -> BaseCalculator:
        """Return a new calculator; see :meth:`Reference.calculator`."""
        dft = _engine("ase_schnet.labelling.dft", "pyscf", self.level_of_theory)
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
        has_basis = _engine("ase_schnet.labelling.dft", "pyscf", self.level_of_theory).has_basis
        symbols = sorted(set(atoms.get_chemical_symbols()))
        without = [symbol for symbol in symbols if not has_basis(self.basis, symbol)]
        if without:
            raise InputError(f"pyscf has no basis {self.basis} for {', '.join(without)}")


@dataclass(frozen=True)
class ModelReference(Reference):
    """Hold a model directory; the mean of its members gives the labels."""

    model: str

    def calculator(self, charge: int = 0, multiplicity: int | None = None) -> BaseCalculator:
        """Return a new calculator; the model knows its own charge and multiplicity."""
        # by name: the calculator of the package stands on a higher floor
        return import_module("ase_schnet.calculator").SchNetCalculator(self.model, threads=1)

    def require_supported(
        self, atoms: Atoms, charge: int = 0, multiplicity: int | None = None
    ) -> None:
        """Refuse what the model does: other elements, cells, another charge that ``info`` states."""
        super().require_supported(atoms, charge, multiplicity)
        require_supported(_trained(self.model), atoms, box_of_vacuum=True)


@dataclass(frozen=True)
class ScriptReference(Reference):
    """Hold a name in a script that returns an ASE calculator, or is one."""

    path: str
    name: str

    def calculator(self, charge: int = 0, multiplicity: int | None = None) -> BaseCalculator:
        """Call what the script has; with charge and multiplicity if it takes them."""
        return called(self.path, self.name, charge, multiplicity)


def read_reference(text: str) -> Reference:
    """Return the reference method that a text names.

    Parameters
    ----------
    text
        ``gfn2-xtb`` or ``gfn1-xtb`` (tblite), with ``:300`` for another electronic temperature in K than
        5000; ``pyscf:FUNCTIONAL/BASIS`` with density fitting, restricted for singlets, where may follow
        ``:exact`` (no density fitting), ``:fine`` (finer integration grid) and ``:uks`` (broken symmetry
        also for singlets); a model directory or the name of a shipped model; or ``FILE.py:NAME``, where NAME
        is an ASE calculator, or is called and returns one.

    Raises
    ------
    ValueError
        In one line: the text is none of these, a functional, basis or name is unknown, or tblite or pyscf is
        not installed.
    """
    text = text.strip()
    kind, _, rest = text.partition(":")
    if kind.lower() in XTB_METHODS:
        return _xtb(text, XTB_METHODS[kind.lower()], rest)
    if kind.lower() == "pyscf":
        return _dft(text, rest)
    script = split_script(text)
    if script is not None:
        return _script(*script)
    try:
        model = lasting_name(text)
    except ModelFileError:
        raise ValueError(f"{text!r} is no reference method; known are {FORMS}") from None
    trained = _trained(model)
    level = f"SchNet {Path(trained.path).name}"
    return ModelReference(model, level, f"model {trained.checksum}", True, model)


@cache
def _trained(model: str) -> TrainedModel:
    return load_model(model)


def _xtb(text: str, method: str, temperature: str) -> XTBReference:
    try:
        kelvin = float(temperature) if temperature else ELECTRONIC_TEMPERATURE_K
    except ValueError:
        kelvin = float("nan")
    if not 0 <= kelvin <= 1e5:
        raise ValueError(
            f"{text!r}: what follows the colon is an electronic temperature in K, such as 300"
        )
    level = method if kelvin == ELECTRONIC_TEMPERATURE_K else f"{method} ({kelvin:g} K)"
    _engine("ase_schnet.labelling.xtb", "tblite", level)
    return XTBReference(text, level, f"{method} at {kelvin:g} K", True, method, kelvin)


def _dft(text: str, rest: str) -> DFTReference:
    method, *options = rest.split(":")
    functional, _, basis = (part.strip() for part in method.partition("/"))
    if not functional or not basis:
        raise ValueError(f"{text!r} is not pyscf:FUNCTIONAL/BASIS, such as pyscf:PBE/def2-SVP")
    options = sorted({option.strip().lower() for option in options})
    unknown = [option for option in options if option not in _DFT_OPTIONS]
    if unknown:
        raise ValueError(
            f"{text!r}: {unknown[0]!r} is not known; known are :{', :'.join(_DFT_OPTIONS)}"
        )
    dft = _engine("ase_schnet.labelling.dft", "pyscf", method)
    why = dft.unknown_functional(functional)
    if why is not None:
        raise ValueError(f"pyscf cannot use the functional {functional!r}: {why}")
    if not any(dft.has_basis(basis, symbol) for symbol in ("H", "C", "Fe", "U")):
        raise ValueError(f"pyscf knows no basis {basis!r}")
    identity = f"pyscf {functional}/{basis} {' '.join(options)}".strip().lower()
    level = f"{functional}/{basis}"
    return DFTReference(text, level, identity, False, functional, basis, tuple(options))


def _script(path: str, name: str) -> ScriptReference:
    found, source = found_in(path, name)
    level = getattr(found, "level_of_theory", None) or f"{path.rpartition('/')[2]}:{name}"
    digest = hashlib.sha256(source).hexdigest()
    return ScriptReference(
        f"{path}:{name}", str(level), f"script {name} {digest}", False, path, name
    )


def _engine(module: str, package: str, wanted: str) -> ModuleType:
    """Import a module that needs an extra."""
    try:
        return import_module(module)
    except ImportError as error:
        raise ValueError(f"{wanted} needs {package} ({error}): {INSTALL}") from None
