"""Small searches: a network of eight features, springs as labels, few epochs."""

from pathlib import Path

from factory import small_dataset

from ase_schnet.data.splits import plan_folds
from ase_schnet.schnet_config import SchNetConfig
from ase_schnet.training.loss_weights import LossWeights
from ase_schnet.training.recipe import Recipe
from ase_schnet.training.settings import FitSettings
from ase_schnet.tuning.result import TuneResult
from ase_schnet.tuning.run import tune
from ase_schnet.tuning.settings import TuneSettings
from ase_schnet.tuning.space import SearchSpace

SMALL = SchNetConfig(8, 8, n_interactions=1, n_rbf=8, cutoff=3.0, gamma=4.0)
#: Six points; the recipe is one of them.
POINTS = {"learning_rate": [1e-3, 3e-3, 1e-2], "n_filters": [4, 8]}


def recipe(epochs: int = 8, **others) -> Recipe:
    """Return what is to be tuned for 24 molecules."""
    plan = plan_folds(24, 3, n_kept_out=3)
    return Recipe(SMALL, LossWeights(), FitSettings(epochs=epochs, batch_size=8), plan, **others)


def settings(space: dict | None = None, share: float = 0.5, **others) -> TuneSettings:
    """Return the settings of a search over a few points, which ends when all of them are tried."""
    return TuneSettings(SearchSpace.from_dict(space or POINTS), share, **others)


def search(directory: Path, jobs: int = 1, epochs: int = 8, hours: float = 1.0) -> TuneResult:
    """Search in this process (or start others); for a forked process too."""
    said = []
    given = recipe(epochs)
    return tune(
        small_dataset(24), directory, given, settings(), hours=hours, jobs=jobs, tell=said.append
    )
