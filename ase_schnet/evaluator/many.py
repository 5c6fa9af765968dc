"""Predictions for many structures: what a calculator gives for each of them alone, in less time."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice
from os import PathLike
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from ase import Atoms
from ase.calculators.calculator import CalculationFailed, InputError
from numpy.typing import NDArray

from ase_schnet.applicability.model import (
    require_finite,
    require_no_images,
    require_supported,
)
from ase_schnet.atoms_state import AtomsState, atoms_of, state_of
from ase_schnet.evaluator.evaluator import Evaluator
from ase_schnet.inference.prediction import (
    AtomsCoincideError,
    Prediction,
    Structure,
)
from ase_schnet.inference.survey import Survey
from ase_schnet.inference.training_watch import TrainingWatch
from ase_schnet.modelfile import TrainedModel
from ase_schnet.neighbors import ALL_PAIRS_LIMIT, Pairs, all_pairs, half_list
from ase_schnet.results import Results, potential_results, stress_volume
from ase_schnet.structures.electrons import Electrons, stated

if TYPE_CHECKING:
    from ase_schnet.dipole.heads import PropertyHeads

#: Lists of elements, cells and charges that are remembered as supported; later ones are looked at again.
REMEMBERED = 4096
#: Structures whose property heads are evaluated together.
HEADS_AT_ONCE = 32


class PredictsMany:
    """Give a calculator its method `predict`."""

    trained: TrainedModel
    _evaluator: Evaluator
    _heads: PropertyHeads

    def predict(
        self,
        structures: Iterable[Atoms],
        *,
        heads: bool = False,
        return_errors: bool = False,
    ) -> Iterator[Results | InputError]:
        """Yield the results of many structures, in their order, to the same bit as one by one.

        Structures may be of any sizes and compositions. They need no calculator and are not changed, and
        ``calc.results`` remains that of the last evaluation. Up to some hundred are read ahead of the results
        and evaluated by all threads that the calculator may use.

        Parameters
        ----------
        structures
            A list, or any other iterable, such as ``ase.io.iread("frames.xyz")``: then as many as wanted.
        heads
            Predict the quantities of property heads (dipole, polarizability) too, where the model has heads
            and they apply to the structure.
        return_errors
            Yield the error of a structure in place of its results, and go on. Otherwise it is raised.

        Yields
        ------
        Results
            Those of one structure, as ``calc.results``.

        Raises
        ------
        InputError
            The model does not support a structure, or its baseline fails on it; the message begins with
            its number, from 0.
        ValueError
            The name of a file is given in place of its structures.

        Warns
        -----
        OutsideTrainingWarning
            Of the first structure outside the training data, as for single structures.
        """
        if isinstance(structures, (str, PathLike)):
            raise ValueError(
                f"predict takes structures, not the name of a file: pass ase.io.iread({str(structures)!r})"
            )
        frames = [structures] if isinstance(structures, Atoms) else structures
        for k, answer in enumerate(_Batch(self, heads).answers(frames)):
            if isinstance(answer, InputError) and not return_errors:
                raise InputError(f"structure {k}: {answer}")
            yield answer

    def _whole(self, results: Results, atoms: Atoms) -> Results:
        return results


class _Item(NamedTuple):
    """Hold what is needed of a structure once it is evaluated; the structure itself may change meanwhile."""

    state: AtomsState
    numbers: NDArray
    positions: NDArray
    masses: NDArray | None
    pairs: Pairs
    volume: float | None
    new_composition: bool


class _Batch:
    """Hold one call of `predict`, with all that it remembers from structure to structure."""

    def __init__(self, calculator: PredictsMany, heads: bool):
        self._heads = calculator._heads if heads and calculator._heads.quantities else None
        self._calculator, self._model = calculator, calculator.trained
        self._evaluator, self._engine = calculator._evaluator, calculator._evaluator.engine
        neighbors, self._bars = self._evaluator.neighbors, self._evaluator.bars
        self._reach = neighbors.cutoff + neighbors.skin
        watch = self._evaluator.watch or TrainingWatch(self._model)
        self._survey = Survey(neighbors.cutoff, watch, self._bars)
        self._all_pairs: dict[int, Pairs] = {}
        # numbers, cell, pbc, and what they say of their electrons
        self._supported: dict[tuple[tuple[bytes, ...], Electrons], None] = {}
        # atomic numbers that were compared with the training
        self._compositions: set[bytes] = set()
        self._whole = type(calculator)._whole is not PredictsMany._whole

    def answers(self, frames: Iterable[Atoms]) -> Iterator[Results | InputError]:
        """Yield results, or the error of a structure, in the order of the structures."""
        if self._heads is None:
            yield from (answer for answer, _ in self._evaluated(frames))
            return
        evaluated = self._evaluated(frames)
        while some := list(islice(evaluated, HEADS_AT_ONCE)):
            good = [(answer, item) for answer, item in some if item is not None]
            structures = [
                (item.numbers, item.positions, np.frombuffer(item.state[3], np.bool_))
                for _, item in good
            ]
            masses = [item.masses for _, item in good]
            heads = self._heads.predict_applicable(structures, masses)
            for (results, _), values in zip(good, heads, strict=True):
                results |= values
            yield from (answer for answer, _ in some)

    def _evaluated(
        self, frames: Iterable[Atoms]
    ) -> Iterator[tuple[Results, _Item] | tuple[InputError, None]]:
        """Yield results with what they belong to, or the error of a structure."""
        waiting: deque[_Item | InputError] = deque()
        for answer in self._engine.evaluate_many(self._accepted(frames, waiting)):
            while isinstance(item := waiting.popleft(), InputError):
                yield item, None
            if isinstance(answer, AtomsCoincideError):
                yield InputError(str(answer)), None
                continue
            try:
                results = self._results(item, answer)
            except (InputError, CalculationFailed) as error:  # of a baseline
                yield InputError(str(error)), None
                continue
            yield results, item
        for error in waiting:
            assert isinstance(error, InputError)
            yield error, None

    def _accepted(
        self, frames: Iterable[Atoms], waiting: deque[_Item | InputError]
    ) -> Iterator[Structure]:
        """Yield the structures to be evaluated; note all, or why they are not, in `waiting`."""
        for atoms in frames:
            try:
                item = self._item(atoms)
            except InputError as error:
                waiting.append(error.with_traceback(None))
                continue
            waiting.append(item)
            yield item.numbers, item.positions, item.pairs

    def _item(self, atoms: Atoms) -> _Item:
        """Look at a structure as `SchNetCalculator.calculate` does before it is evaluated."""
        if not isinstance(atoms, Atoms):
            raise InputError(f"not a structure (ase.Atoms) but {type(atoms).__name__}")
        state = state_of(atoms)
        kind = state[1:], stated(atoms.info, atoms.arrays)
        if kind not in self._supported:
            require_supported(self._model, atoms, box_of_vacuum=True)
            if len(self._supported) >= REMEMBERED:
                self._supported.pop(next(iter(self._supported)))
            self._supported[kind] = None
        require_finite(atoms)
        positions = np.array(atoms.positions, dtype=np.float64)
        pairs = self._pairs(positions, atoms)
        if not self._model.pbc and atoms.pbc.any():
            require_no_images(self._model, atoms, pairs)
        volume = stress_volume(atoms) if self._model.pbc else None
        new = state[1] not in self._compositions
        if new:
            if len(self._compositions) >= REMEMBERED:
                self._compositions.clear()
            self._compositions.add(state[1])
        numbers = np.frombuffer(bytearray(state[1]), np.int64)  # compiled code takes no bytes
        masses = np.array(atoms.arrays["masses"]) if atoms.has("masses") else None
        return _Item(state, numbers, positions, masses, pairs, volume, new)

    def _pairs(self, positions: NDArray, atoms: Atoms) -> Pairs:
        n_atoms = len(positions)
        if n_atoms > ALL_PAIRS_LIMIT or atoms.pbc.any():
            return half_list(positions, self._reach, atoms.cell.array, atoms.pbc)
        if n_atoms not in self._all_pairs:
            self._all_pairs[n_atoms] = all_pairs(n_atoms)
        return self._all_pairs[n_atoms]

    def _results(self, item: _Item, prediction: Prediction) -> Results:
        """Return the results of an evaluated structure; warn of it if it is outside training."""
        ordinary = self._survey.is_ordinary(item.state[1], item.positions, item.pairs)
        errors = self._bars and self._bars.later(item.state, item.pairs, ordinary=ordinary)
        results = potential_results(prediction, item.volume, errors)
        calculator = self._calculator
        if self._whole:
            results = calculator._whole(results, atoms_of(item.state))
        if item.new_composition or not ordinary:
            atoms, new = atoms_of(item.state), item.new_composition
            self._evaluator.warn_of(atoms, item.pairs, results, new_composition=new)
        return results
