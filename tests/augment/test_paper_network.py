"""The study of the augmentation paper's network: what its rows and lines say of given figures."""

import sys
from importlib import import_module
from pathlib import Path

import pytest

STUDY = Path(__file__).resolve().parents[2] / "md_examples" / "10_augmentation_study"
ROW = {
    "forces_mae": 10.0,
    "energy_mae": 2.0,
    "rmse_inside": 0.1,
    "rmse_short": 5.0,
    "rmse_beyond_1.1": 30.0,
    "at_0.7": 80.0,
    "at_2.0": 90.0,
    "fall": 0.0,
    "top": [1.0, 0.0],
    "bottom": [1.0, 0.0],
    "lives_ps": [20.0] * 3,
    "drift": 0.001,
    "grid": [0.7, 1.0, 3.0],
    "range": [0.9, 1.1],
    "model": [80.0, 0.0, 100.0],
    "reference": [87.0, 0.0, 106.0],
    "parameters": 848897,
}


@pytest.fixture
def study(monkeypatch, tmp_path):
    """The script, writing into a copy of the text; its modules are forgotten afterwards."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(STUDY))
    module = import_module("paper_network")
    text = tmp_path / "augmentation.md"
    text.write_text("# Title\n\n## Other\n\ntable\n\nTrained: 48 of 48.\n\nnotes\n")
    monkeypatch.setattr(module, "TARGET", text)
    monkeypatch.setattr(module, "PICTURE", tmp_path / "network.png")
    yield module
    for name in ("paper_network", "report", "measure", "jobs", "figure"):
        if name not in before:
            sys.modules.pop(name, None)


def test_its_section_is_put_before_the_count_and_replaced(study):
    worse = ROW | {"rmse_beyond_1.1": 60.0, "forces_mae": 15.0, "widths": [0.1, 0.3]}
    study.write({"nff": ROW, "nff-literal-0.5": worse})
    once = study.TARGET.read_text()
    assert "O–H error beyond 1.1 Å × 2.00, test force error × 1.50 of nff without" in once
    assert "| nff | 1 | 10.0 | 2.00 | 0.10 | 5.0 | 30.0 | 80 | 90 |" in once
    assert "nff 848,897" in once
    assert "end between 0.100 and 0.300 Å" in once
    heads = [
        once.index(part) for part in ("## Other", study.NETWORKS_TITLE, "Trained: 48", "notes")
    ]
    assert heads == sorted(heads)
    study.write({"nff": ROW, "nff-literal-0.5": worse})
    assert study.TARGET.read_text() == once
    study.write({"nff": ROW})
    assert "literal-0.5:" not in study.TARGET.read_text()
    assert study.PICTURE.stat().st_size > 0


def test_the_trainings_are_both_networks_with_and_without_the_rule_of_the_paper(study):
    assert list(study.NETWORKS) == [
        *("fast", "fast-literal-0.05", "fast-literal-0.5"),
        *("nff", "nff-literal-0.05", "nff-literal-0.5"),
    ]
    for name, variant in study.NETWORKS.items():
        assert variant.preset == name.split("-")[0]
        made = variant.augmentation("nff", 0)
        if "literal" in name:
            assert (made.rule, made.weight) == ("literal", 1.0)
            assert f"literal-{made.moves.epsilon_Ang}" in name
        else:
            assert made is None
