"""Optuna: whether it is installed, its database in a file, and the space in its words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ase_schnet.tuning.ranges import Range, is_whole

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution
else:
    try:
        import optuna
    except ImportError:  # an optional dependency
        optuna = None

NAME = "tune"  # of the study in the database
BUSY_S = 120.0  # to wait for a database that another process writes
#: Trials that end before one can be pruned, and points that are drawn before the sampler has learnt.
UNPRUNED, DRAWN = 5, 10


def require_optuna() -> None:
    """Raise ValueError with the cure if Optuna is not installed."""
    if optuna is None:
        raise ValueError("a search needs the package optuna: pip install 'ase-schnet[tune]'")


def open_study(path: Path, warmup_epochs: int) -> optuna.study.Study:
    """Return the study in a file, a new one if there is none.

    Parameters
    ----------
    path
        The SQLite file.
    warmup_epochs
        Epochs of a trial before it can be pruned.

    Raises
    ------
    ValueError
        If the path has characters that the address of a database cannot have.
    """
    odd = next((c for c in "?{}" if c in str(path.absolute())), None)
    if odd:
        raise ValueError(f"{path.parent}: the name of the directory must be without {odd}")
    storage = optuna.storages.RDBStorage(
        f"sqlite:///{path.absolute()}", engine_kwargs={"connect_args": {"timeout": BUSY_S}}
    )
    pruner = optuna.pruners.MedianPruner(n_startup_trials=UNPRUNED, n_warmup_steps=warmup_epochs)
    return optuna.create_study(
        storage=storage,
        study_name=NAME,
        direction="minimize",
        pruner=pruner,
        load_if_exists=True,
    )


@contextmanager
def quiet() -> Iterator[None]:
    """Keep Optuna from telling that it made a study."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)


def distributions_of(varied: Mapping[str, Range | tuple]) -> dict[str, BaseDistribution]:
    """Return what Optuna calls the values that each hyperparameter may take."""
    return {name: _distribution(name, values) for name, values in varied.items()}


def _distribution(name: str, values: Range | tuple) -> BaseDistribution:
    if not isinstance(values, Range):
        return optuna.distributions.CategoricalDistribution(values)
    if is_whole(name):
        return optuna.distributions.IntDistribution(int(values.low), int(values.high), values.log)
    return optuna.distributions.FloatDistribution(values.low, values.high, values.log)
