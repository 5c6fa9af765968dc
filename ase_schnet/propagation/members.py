"""The members of an ensemble, each as a calculator of its own."""

from __future__ import annotations

from pathlib import Path

from ase_schnet.calculator import SchNetCalculator
from ase_schnet.dipole.heads import PropertyHeads
from ase_schnet.modelfile import TrainedModel
from ase_schnet.results import COMMITTEE


class _Member:
    """Let a calculator of a whole ensemble, the class beside this one, evaluate member ``member`` alone."""

    member: int

    def _divided(self, trained: TrainedModel):
        evaluated, baseline = super()._divided(trained)
        return evaluated.member(self.member), baseline

    def _load(self) -> None:
        super()._load()
        self._evaluator.bars = None  # those of the mean of all, of stds that one member has not
        self.implemented_properties = [
            name
            for name in self.implemented_properties
            if name not in COMMITTEE and not name.endswith(("_std", "_error"))
        ]
        self._heads = PropertyHeads(self.trained.path, self.member)

    @property
    def model_info(self) -> dict:
        """Return what describes the calculator in the record of a run, with the member."""
        return super().model_info | {"member": self.member}

    def __reduce__(self):
        whole = type(self).__mro__[2]
        return _open_member, (whole, dict(self.parameters), self.member)


def _open_member(kind: type[SchNetCalculator], parameters: dict, k: int) -> SchNetCalculator:
    made = type(f"Member{k}Of{kind.__name__}", (_Member, kind), {"member": k})
    return made(**parameters)


def open_calculator(model: str | Path | SchNetCalculator) -> SchNetCalculator:
    """Return the calculator itself, or the one of a model directory or of a shipped model's name.

    Raises
    ------
    ValueError
        It is neither, or an ensemble of one member, which has no spread.
    """
    calculator = SchNetCalculator(model) if isinstance(model, (str, Path)) else model
    if not isinstance(calculator, SchNetCalculator):
        raise ValueError(
            f"model is a name, a model directory or a SchNetCalculator, not {type(model).__name__}"
        )
    n_members = 1 if isinstance(calculator, _Member) else calculator.trained.n_members
    if n_members < 2:
        raise ValueError(
            f"{calculator.trained.path} has one member: a spread needs an ensemble of two or more"
        )
    return calculator


def member_calculators(model: str | Path | SchNetCalculator) -> list[SchNetCalculator]:
    """Return a calculator for each of the M members, with the options of the ensemble's.

    They have the results of one network: no standard deviations. Compiled code is shared.

    Parameters
    ----------
    model
        Name, model directory or calculator of the ensemble; of a :class:`DeltaCalculator
        <ase_schnet.delta_calculator.DeltaCalculator>` each member has the same baseline.

    Raises
    ------
    ValueError
        As for `open_calculator`.
    """
    whole = open_calculator(model)
    kind, parameters = type(whole), dict(whole.parameters)
    return [_open_member(kind, parameters, k) for k in range(whole.trained.n_members)]
