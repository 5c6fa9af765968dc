"""What dynamics in compiled code asks in place of a calculator: the same engine, pairs and watch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from ase_schnet.atoms_state import state_of
from ase_schnet.evaluator.evaluator import Evaluator
from ase_schnet.inference.buffers import CHUNK
from ase_schnet.inference.ensemble import Ensemble
from ase_schnet.inference.field import Field
from ase_schnet.inference.prediction import ONE_THREAD_BELOW
from ase_schnet.schnet_config import MAX_ELEMENTS

if TYPE_CHECKING:
    from ase_schnet.calculator import SchNetCalculator


class CompiledForces:
    """Evaluate one structure for compiled code, as its calculator does.

    Parameters
    ----------
    calculator
        Of the atoms; it gets the results. Other threads may use it meanwhile.
    evaluator
        A sibling of the calculator's.
    atoms
        They move in place; numbers, cell and periodicity stay what they are.
    avoided
        (100, 100, K, 2), Å²: squared distances at which the calculator is to be asked, see
        `applicability.distances.avoided_squares`. None: none beside its own.

    Attributes
    ----------
    made_for
        (N, 3), where the pairs were found, Å; (0, 3) if they are all there are.
    reach
        Å: with an atom moved by more, the pairs are too old.
    """

    def __init__(
        self,
        calculator: SchNetCalculator,
        evaluator: Evaluator,
        atoms: Atoms,
        avoided: NDArray | None,
    ):
        self._calculator, self._evaluator, self._atoms = calculator, evaluator, atoms
        self._numbers = np.ascontiguousarray(atoms.numbers, dtype=np.int64)
        self._elements, self._kinds = np.unique(self._numbers, return_inverse=True)
        nothing = np.zeros((MAX_ELEMENTS, MAX_ELEMENTS, 0, 2))
        self._asked = nothing if avoided is None else avoided
        self._made_of: tuple = ()
        self._field: Field | None = None

    @classmethod
    def of(
        cls,
        calculator: SchNetCalculator,
        evaluator: Evaluator,
        atoms: Atoms,
        avoided: NDArray | None,
    ) -> CompiledForces | None:
        """Return them; None for an engine of torch, and where several threads share one structure."""
        engine = evaluator.engine
        if not isinstance(engine, Ensemble):
            return None
        if len(atoms) >= ONE_THREAD_BELOW and engine.threads > 1:
            return None
        return cls(calculator, evaluator.sibling(), atoms, avoided)

    def field(self) -> Field:
        """Return what compiled code evaluates the atoms with, until `take_over` or `evaluate`."""
        pairs, watch = self._evaluator.pairs_of(self._atoms), self._evaluator.watch
        self.made_for, self.reach = self._evaluator.neighbors.valid_around()
        b = self._evaluator.engine.hold(self._numbers, pairs)
        made_of = (b, b.rows, b.edges, b.state, watch)
        if self._field is None or any(
            new is not old for new, old in zip(made_of, self._made_of, strict=True)
        ):
            one_piece = watch is not None or self._asked.size > 0
            arrays = (b.network, b.rows, b.edges, b.state, b.scratch(0), self._numbers, *b.pairs)
            self._field = Field(*arrays, self._kinds, self._avoided(), one_piece, CHUNK)
            self._made_of = made_of
        return self._field

    def _avoided(self) -> NDArray:
        """Return the squared distances that are left to the calculator, by the elements of the atoms."""
        tables = [self._asked]
        if self._evaluator.engine.repulsion is not None:
            tables.append(self._evaluator.engine.repulsion.below)
        if self._evaluator.watch is not None:
            tables.append(self._evaluator.watch.avoided)
        few = np.ix_(self._elements, self._elements)
        return np.concatenate([table[few] for table in tables], axis=2)

    def take_over(self) -> None:
        """Make what compiled code has evaluated last the results of the calculator."""
        atoms, evaluator = self._atoms, self._evaluator
        state, prediction = state_of(atoms), evaluator.engine.answer()
        results = evaluator.results(atoms, state, evaluator.pairs_of(atoms), prediction)
        self._calculator.accept(results, atoms, state)

    def evaluate(self) -> NDArray:
        """Evaluate the atoms by their calculator; return the forces (N, 3), eV/Å."""
        self._evaluator.engine.answer()  # it is complete; of the structure before
        return np.asarray(self._calculator.get_property("forces", self._atoms))
