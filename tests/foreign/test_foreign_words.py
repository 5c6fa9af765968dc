"""What is said of a converted model and its labels."""

from factory import random_model, small_dataset

from ase_schnet.evaluation import compare
from ase_schnet.foreign.words import label_lines
from ase_schnet.inference.engine import open_engine


def test_of_energies_with_another_zero_the_error_is_said_without_it():
    """An error of 4209903.98 meV stood first, and below it that 37.55 were meant."""
    comparison = compare(open_engine(random_model()), small_dataset(6))
    metrics = comparison.metrics() | {"source": "labels.xyz", "energy_correlation": 0.97}
    metrics |= {"energy_mae_without_offset": 37.55, "energy_unit": "meV"}
    near = label_lines({"labels": metrics | {"energy_offset": 12.0}})
    assert [line[:7] for line in near[:3]] == ["energy ", "energy ", "energy "]
    metrics["energy_offset"] = 4209910.67
    first, *others = label_lines({"labels": metrics})
    assert first.startswith("energy  MAE 37.55 meV without the median difference from the labels, ")
    assert "+4209910.67 meV" in first
    assert not any(line.startswith("energy ") for line in others)
    assert others[0].startswith("forces  MAE")
