"""The loss of each validation structure, and of many of them that of a part: it is told, not trained on."""

import numpy as np
import torch
from factory import TINY, small_dataset

from ase_schnet.training import metrics
from ase_schnet.training.loss import LossWeights
from ase_schnet.training.metrics import losses_per_structure
from ase_schnet.training.settings import FitSettings
from ase_schnet.training.trainer import Fit


def test_of_many_structures_the_losses_of_some_are_told(monkeypatch):
    torch.manual_seed(0)
    fit = Fit(TINY, small_dataset(6), small_dataset(9, seed=1), LossWeights(), FitSettings())
    every = losses_per_structure(fit.potential, fit.validation, fit.loss)
    assert len(every) == 9
    monkeypatch.setattr(metrics, "MOST_ALONE", 3)
    some = losses_per_structure(fit.potential, fit.validation, fit.loss)
    np.testing.assert_array_equal(some, every[[0, 4, 8]])
