"""A model as a reference method; apart from the others, which need not import what it does."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module

from ase import Atoms
from ase.calculators.calculator import BaseCalculator

from ase_schnet.applicability.model import require_supported
from ase_schnet.labelling.methods import Reference
from ase_schnet.model_directories import Written, written
from ase_schnet.modelfile import TrainedModel, load_model


@dataclass(frozen=True)
class ModelReference(Reference):
    """Hold a model directory; the mean of its members gives the labels."""

    model: str

    @property
    def needs_electrons(self) -> bool:
        """Whether a molecule must state its charge: no, the model knows its own."""
        return False

    def calculator(self, charge: int = 0, multiplicity: int | None = None) -> BaseCalculator:
        """Return a new calculator; the model knows its own charge and multiplicity."""
        # by name: the calculator of the package stands on a higher floor
        return import_module("ase_schnet.calculator").SchNetCalculator(self.model, threads=1)

    def require_supported(
        self, atoms: Atoms, charge: int = 0, multiplicity: int | None = None
    ) -> None:
        """Refuse what the model does: other elements, cells, another charge that ``info`` states."""
        super().require_supported(atoms, charge, multiplicity)
        require_supported(trained_model(self.model), atoms, box_of_vacuum=True)


def trained_model(model: str) -> TrainedModel:
    """Return a model, which each process reads once, and anew where it was written anew."""
    return _read(model, written(model))


@lru_cache(maxsize=4)
def _read(model: str, now: Written) -> TrainedModel:
    return load_model(model)
