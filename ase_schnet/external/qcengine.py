"""QCEngine's program ``ase_schnet``: geomeTRIC, QCArchive and whatever else asks through QCEngine.

Needs qcengine of at least 0.50 (``pip install 'ase-schnet[interop]'``), whose schema has version 2.
"""

from __future__ import annotations

import warnings
from functools import lru_cache
from typing import Any, ClassVar

from ase.calculators.calculator import CalculatorSetupError
from qcelemental.models.v2 import AtomicInput, AtomicResult
from qcengine import list_all_programs, register_program
from qcengine.config import TaskConfig
from qcengine.exceptions import InputError
from qcengine.programs.model import ProgramHarness

from ase_schnet import __version__
from ase_schnet.external.answer import Resident
from ase_schnet.external.question import Question
from ase_schnet.model_directories import lasting_name
from ase_schnet.runtime.refusals import is_refusal

NAME = "ase_schnet"
DRIVERS = ("energy", "gradient")


class Harness(ProgramHarness):
    """Answer QCEngine: the method is a shipped model or a model directory, there is no basis."""

    _defaults: ClassVar[dict[str, Any]] = {
        "name": NAME,
        "scratch": False,
        "thread_safe": True,
        "thread_parallel": False,
        "node_parallel": False,
        "managed_memory": False,
    }

    @staticmethod
    def found(raise_error: bool = False) -> bool:
        """Return that the program is there: it is this package."""
        return True

    def get_version(self) -> str:
        """Return the version of this package."""
        return __version__

    def compute(self, input_data: AtomicInput, config: TaskConfig) -> AtomicResult:
        """Return energy, or energy and gradient; InputError of qcengine for what cannot be computed."""
        specification, molecule = input_data.specification, input_data.molecule
        driver = str(getattr(specification.driver, "value", specification.driver))
        if driver not in DRIVERS:
            raise InputError(f"{NAME} has the drivers {' and '.join(DRIVERS)}, not {driver}")
        if not molecule.real.all():
            raise InputError(f"{NAME} knows no ghost atoms")
        if molecule.molecular_charge % 1:
            raise InputError(f"{NAME} knows no charge of {molecule.molecular_charge}")
        question = Question(
            *([str(symbol) for symbol in molecule.symbols], molecule.geometry.tolist(), "Bohr"),
            *(round(molecule.molecular_charge), int(molecule.molecular_multiplicity)),
            gradient=driver == "gradient",
            dipole=True,
        )
        try:
            answer = _resident(lasting_name(specification.model.method)).current().answer(question)
        except (ValueError, CalculatorSetupError) as error:
            if isinstance(error, ValueError) and not is_refusal(error):
                raise  # a fault
            raise InputError(str(error)) from None
        for text in answer.warnings:
            warnings.warn(text, stacklevel=2)
        properties = {"return_energy": answer.energy, "calcinfo_natom": len(molecule.symbols)}
        if answer.dipole is not None:
            properties["scf_dipole_moment"] = answer.dipole
        return AtomicResult(
            input_data=input_data,
            molecule=molecule,
            properties=properties,
            return_result=answer.energy if answer.gradient is None else answer.gradient,
            provenance={"creator": NAME, "version": __version__, "routine": "SchNetCalculator"},
            success=True,
        )


@lru_cache(maxsize=8)
def _resident(model: str) -> Resident:
    """Return what answers with a model; one that is written anew is loaded anew."""
    return Resident(model)


def register() -> None:
    """Make ``ase_schnet`` a program of QCEngine, in this process; done twice, it changes nothing."""
    if NAME not in list_all_programs():
        register_program(Harness())
