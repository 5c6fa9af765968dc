"""Structures as vectors: the features that a SchNet has of their atoms."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from ase import Atoms

from ase_schnet.applicability.model import (
    require_finite,
    require_no_images,
    require_supported,
)
from ase_schnet.inference.ensemble import Ensemble
from ase_schnet.modelfile import load_model
from ase_schnet.neighbors import half_list


class ModelFeatures:
    """Return the mean features of the atoms of each element, from the first member of a model.

    Parameters
    ----------
    model
        Name of a shipped model, or a model directory.

    Raises
    ------
    ModelFileError
        If there is no such model.
    """

    def __init__(self, model: str | Path):
        self._model = load_model(model)
        self._engine = Ensemble(self._model, dtype="float32", threads=1)

    def require_supported(self, atoms: Atoms) -> None:
        """Refuse a structure that the model does not support; InputError."""
        require_supported(self._model, atoms, box_of_vacuum=True)

    def __call__(self, frames: list[Atoms]) -> np.ndarray:
        """Return vectors (S, elements × features), float32; zeros for elements that a structure lacks.

        Raises
        ------
        InputError
            For a structure that the model does not support.
        """
        elements = sorted({int(z) for atoms in frames for z in np.unique(atoms.numbers)})
        return np.array([self._of(atoms, elements) for atoms in frames], np.float32)

    def _of(self, atoms: Atoms, elements: list[int]) -> np.ndarray:
        self.require_supported(atoms)
        require_finite(atoms)
        cutoff = self._model.config["cutoff"]
        pairs = half_list(atoms.positions, cutoff, atoms.cell.array, atoms.pbc)
        if not self._model.pbc:
            require_no_images(self._model, atoms, pairs)
        self._engine.evaluate(atoms.numbers, atoms.positions, pairs)
        features = self._engine.features()[0]  # (N, B)
        each = [features[atoms.numbers == z] for z in elements]
        return np.concatenate(
            [of.mean(axis=0) if len(of) else np.zeros(features.shape[1]) for of in each]
        )
