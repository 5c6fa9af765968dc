"""What an ensemble answers, and what every engine that evaluates one has in common."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np

from ase_schnet.modelfile import TrainedModel
from ase_schnet.neighbors import Pairs

COINCIDENT = 1e-6  # Å; nearer than this two atoms have no direction between them
#: Atomic numbers (N,), positions (N, 3) in Å and pairs of one structure.
Structure = tuple[np.ndarray, np.ndarray, Pairs]
ONE_THREAD_BELOW = 200  # atoms; less work than this is done before a second thread has woken up


class Prediction(NamedTuple):
    """Hold the answers of all M members for one structure of N atoms, float64.

    Attributes
    ----------
    energies
        (M,), eV.
    atomic_energies
        (M, N), eV.
    forces
        (M, N, 3), eV/Å.
    virials
        (M, 3, 3), eV: −∂E/∂ε for a strain ε of all pair vectors; −virial / volume is the stress.
    """

    energies: np.ndarray
    atomic_energies: np.ndarray
    forces: np.ndarray
    virials: np.ndarray


class AtomsCoincideError(ValueError):
    """Say which two atoms, by their indices, are in one place: there is no direction between them."""

    def __str__(self) -> str:
        i, j = self.args
        return f"atoms {i} and {j} are in the same place"


@runtime_checkable
class Engine(Protocol):
    """Evaluate a model: what :class:`Ensemble` and :class:`TorchEnsemble` have in common.

    Attributes
    ----------
    model
        The ensemble that is evaluated.
    dtype
        Precision of the network, "float64" or "float32".
    """

    model: TrainedModel
    dtype: str

    @property
    def device(self) -> object:
        """Device that it computes on; ``str`` of it is its name, for example "cpu" or "cuda:0"."""

    def evaluate(self, numbers: np.ndarray, positions: np.ndarray, pairs: Pairs) -> Prediction:
        """Return energies in eV, forces in eV/Å and virials in eV of every member.

        Parameters
        ----------
        numbers
            (N,) atomic numbers.
        positions
            (N, 3), Å.
        pairs
            Half list of the pairs, as :func:`half_list` makes it; pairs beyond the cutoff do no harm.

        Raises
        ------
        AtomsCoincideError
            If two atoms are nearer than 1e-6 Å.
        """
        ...

    def evaluate_many(
        self, structures: Iterable[Structure]
    ) -> Iterator[Prediction | AtomsCoincideError]:
        """Yield what `evaluate` returns of each structure, to the same bit.

        Where two atoms are in one place the error takes the place of the prediction, and the others go on.

        Parameters
        ----------
        structures
            Numbers, positions and pairs of each, as for `evaluate`. They are taken ahead of the answers.
        """
        ...


def predictions_of(engine: Engine, structures: Iterable[Structure]) -> Iterator[Prediction]:
    """Yield the predictions of `Engine.evaluate_many`.

    Raises
    ------
    AtomsCoincideError
        If two atoms of a structure are nearer than 1e-6 Å.
    """
    for answer in engine.evaluate_many(structures):
        if isinstance(answer, AtomsCoincideError):
            raise answer
        yield answer
