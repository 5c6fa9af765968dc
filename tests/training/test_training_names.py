"""Names of before, which still work and warn."""

import pytest
from factory import TINY, small_dataset

import ase_schnet
from ase_schnet.data.splits import plan_folds
from ase_schnet.training.loss import LossWeights
from ase_schnet.training.recipe import Recipe
from ase_schnet.training.settings import FitSettings

WARNING = r"{} is now named {}; the old name will be removed in 0\.3"


def test_old_names_work_and_warn(tmp_path):
    data = small_dataset(12)
    with pytest.warns(DeprecationWarning, match=WARNING.format("LossWeights.settled", ".*")):
        assert LossWeights().settled(data) == LossWeights().with_defaults_for(data)
    recipe = Recipe(TINY, LossWeights(), FitSettings(epochs=1), plan_folds(12, 2, n_kept_out=2))
    with pytest.warns(DeprecationWarning, match=WARNING.format("Recipe.settled", ".*")):
        assert recipe.settled(data).weights.stress == 0.0
    model = ase_schnet.cross_validate(data, tmp_path / "m", recipe, jobs=1)
    with pytest.warns(DeprecationWarning, match=WARNING.format("assemble", "assemble_ensemble")):
        assert ase_schnet.assemble(tmp_path / "m").checksum == model.checksum
    with pytest.warns(DeprecationWarning, match=WARNING.format("summary", "training_summary")):
        assert ase_schnet.summary(model) == ase_schnet.training_summary(model)
