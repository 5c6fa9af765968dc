"""Arguments of the calculator: what is refused, and that a change takes effect or leaves no trace."""

import numpy as np
import pytest
from factory import ethanol, random_model

from ase_schnet import SchNetCalculator
from ase_schnet.modelfile import save_model


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory):
    return save_model(tmp_path_factory.mktemp("models") / "tiny", random_model(members=3))


@pytest.fixture
def calc(model_dir):
    return SchNetCalculator(model_dir)


@pytest.fixture
def atoms(calc):
    atoms = ethanol()
    atoms.calc = calc
    return atoms


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"model": "no such model"}, "no model 'no such model'"),
        ({"dtype": "float16"}, "dtype is"),
        ({"device": "tpu-pod"}, "device is"),
        ({"skin": -1.0}, "skin must be"),
        ({"skin": float("nan")}, "skin must be"),
        ({"skin": float("inf")}, "skin must be >= 0 Å and finite"),
        ({"threads": 0}, "threads is"),
        ({"threads": "2"}, "threads is"),
        ({"cutoff": 5.0}, "no parameter cutoff"),
    ],
)
def test_bad_arguments(model_dir, arguments, message):
    with pytest.raises(ValueError, match=message):
        SchNetCalculator(**{"model": model_dir} | arguments)


def test_set_changes_the_precision(calc, atoms):
    double = atoms.get_forces()
    assert calc.set(dtype="float32")
    assert 0 < np.abs(atoms.get_forces() - double).max() < 1e-3
    assert calc.todict()["dtype"] == "float32"


def test_a_change_that_fails_leaves_the_calculator_as_it_was(calc, atoms):
    energy = atoms.get_potential_energy()
    for change in (
        {"model": "no such model"},
        {"dtype": "float16"},
        {"skin": -1.0},
        {"threads": 0},
    ):
        with pytest.raises(ValueError, match=r"no model|dtype|skin|threads"):
            calc.set(**change)
    assert calc.parameters.dtype == "float64"
    assert atoms.get_potential_energy() == energy
