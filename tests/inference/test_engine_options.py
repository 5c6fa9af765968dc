"""Options of an engine as one value, whoever runs it."""

import pytest
from factory import random_model

from ase_schnet import EngineOptions
from ase_schnet.inference.ensemble import Ensemble


def test_a_mapping_and_no_options_at_all_are_options_too():
    options = EngineOptions(dtype="float32", threads=2)
    assert EngineOptions.of({"dtype": "float32", "threads": 2}) == options
    assert EngineOptions.of(options) is options
    assert EngineOptions.of(None) == EngineOptions() == EngineOptions.of({})


def test_an_engine_runs_with_its_options():
    engine = EngineOptions(dtype="float32", threads=1, repulsion=None).open(random_model())
    assert type(engine) is Ensemble
    assert (engine.dtype, engine.threads, engine.repulsion) == ("float32", 1, None)


def test_an_unknown_option_is_named_beside_those_there_are():
    with pytest.raises(
        ValueError, match=r"unknown engine option cuda: the options are device, dtype"
    ):
        EngineOptions.of({"cuda": True})


def test_a_negative_skin_is_refused():
    with pytest.raises(ValueError, match="skin must be >= 0 Å and finite, got -1"):
        EngineOptions(skin=-1)
