"""The arithmetic of benchmarks/dropout.py on predictions whose errors are known."""

import json
from dataclasses import replace

import numpy as np
import pytest
from factory import small_dataset

from benchmarks import dropout, dropout_section
from benchmarks.uncertainty import HYDROGEN, OXYGEN

MEMBERS, NOISE = 40, 0.02


@pytest.fixture(scope="module")
def parts():
    """Ethanol four times; in the last the O–H bond is stretched in half of the structures."""
    data = small_dataset(60, names=("CH3CH2OH",))
    positions = data.R.reshape(60, 9, 3).copy()
    bonds = np.where(np.arange(60) < 30, 0.97, 2.0)
    positions[:, HYDROGEN] = positions[:, OXYGEN] + bonds[:, None] * [0.6, 0.0, 0.8]
    names = ("kept out", "test", "hot")
    return {name: data for name in names} | {"scan": replace(data, R=positions.reshape(-1, 3))}


def test_stds_that_are_the_errors_are_calibrated_and_tell_what_is_stretched(parts):
    rng = np.random.default_rng(0)

    def predict(data):
        size = NOISE * np.repeat(rng.uniform(0.5, 2.0, len(data)), 9)[:, None]
        if data is parts["scan"]:
            size[9 * 30 :] *= 10
        off = size * rng.normal(size=data.F.shape)  # the error of the mean
        forces = data.F + off + size * rng.normal(size=(MEMBERS, *data.F.shape))
        energies = size[::9, 0] * rng.normal(size=(MEMBERS, len(data)))
        return energies, forces

    found = dropout.figures(parts, predict)
    assert found["scale"] == pytest.approx(1.0, abs=0.1)
    assert found["fifths"] == pytest.approx([1.0] * 5, abs=0.25)
    assert found["auroc"]["stretched"] == {"energy": 1.0, "forces": 1.0}
    assert found["auroc"]["hot"]["forces"] == pytest.approx(0.5, abs=0.1)
    assert found["forces_mae_meV_per_Ang"] == pytest.approx(20.0, rel=0.3)


def test_the_section_is_put_in_once_and_replaced(tmp_path):
    way = {"name": "ensemble", "evaluations": 5, "scale": 1.0, "fifths": [1.0] * 5, "spearman": 0.5}
    areas = {"energy": 0.9, "forces": 0.8}
    way |= {"forces_mae_meV_per_Ang": 6.0, "auroc": {"stretched": areas, "hot": areas}}
    worse = way | {"name": "dropout", "spearman": 0.4, "fifths": [1.0, 1.0, 1.0, 1.0, 0.7]}
    store = tmp_path / "dropout.json"
    store.write_text(json.dumps({"epochs": 5, "one_network": {"a": 1.0}, "ways": [way, worse]}))
    new = dropout_section.section(store)
    assert "| ensemble | 5 | 6.0 | 1.00 | 1.00 1.00 1.00 1.00 1.00 | 0.50 | 0.900, 0.800 |" in new
    assert "of a fifth: ensemble 0.00, dropout 0.30 (dropout, 5 evaluations)" in new
    assert "better in 2 of 5" in new
    once = dropout_section.placed("# Title\n\ntext\n", new)
    assert once.startswith("# Title\n\ntext\n\n## Monte Carlo")
    assert dropout_section.placed(once, new) == once
    followed = dropout_section.placed(once + "\n## Next\n", new)
    assert followed.endswith("\n\n## Next\n")
    assert dropout_section.section(tmp_path / "none.json") == ""
