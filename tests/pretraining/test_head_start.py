"""Networks of the difference start from what two cheap methods differ by."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase.build import molecule
from ase.io import read
from factory import TINY, ethanol

from ase_schnet import Pretraining
from ase_schnet.data.dataset import Dataset
from ase_schnet.data.splits import plan_folds
from ase_schnet.evaluation import compare
from ase_schnet.inference.ensemble import Ensemble
from ase_schnet.labelling.label import label_structures
from ase_schnet.labelling.reference import read_reference
from ase_schnet.modelfile import load_model
from ase_schnet.pretraining import head_start as room
from ase_schnet.pretraining.difference import minus
from ase_schnet.pretraining.settings import teacher_network, teacher_settings
from ase_schnet.training.crossval import cross_validate
from ase_schnet.training.loss import LossWeights
from ase_schnet.training.recipe import Recipe
from ase_schnet.training.settings import FitSettings

ROOT = Path(__file__).parents[2]
CHEAP, SECOND = "gfn2-xtb", "gfn1-xtb"


def pool_of(n):
    """Structures labelled by the cheap method; every fifth is of a kind that breaks bonds."""
    frames = label_structures([ethanol(0.08, seed) for seed in range(n)], CHEAP, jobs=1).frames
    for k, atoms in enumerate(frames):
        atoms.info["sampled_by"] = "thermal" if k % 5 else "stretched"
    return frames


def recipe_of(n, folds=2):
    plan = plan_folds(n, folds, n_kept_out=1)
    return Recipe(TINY, LossWeights(), FitSettings(), plan, baseline=CHEAP)


def start_of(pool, folder, settings, folds=2):
    return room.head_start(
        pool, read_reference(CHEAP), settings, recipe_of(10, folds), folder, {"jobs": 1}
    )


def trained_on(monkeypatch):
    """Return a list to which the data of every training are added."""
    given = []

    def train(data, *rest, **options):
        given.append(data)
        return cross_validate(data, *rest, **options)

    monkeypatch.setattr(room, "cross_validate", train)
    return given


@pytest.fixture
def small(monkeypatch):
    """Few structures, and few epochs on them."""
    monkeypatch.setattr(room, "LEAST", 10)
    monkeypatch.setitem(room.HEAD_START_FIT, "epochs", 1)


def test_it_has_a_network_for_each_member_and_learns_the_second_method_minus_the_first(
    tmp_path, small, monkeypatch
):
    pool, given = pool_of(25), trained_on(monkeypatch)
    start = start_of(pool, tmp_path / "h", Pretraining(CHEAP), folds=3)
    assert (start.model.n_members, start.model.baseline) == (3, CHEAP)
    assert start.name == "GFN1-xTB minus GFN2-xTB"
    (data,) = given
    assert len(data) == 20  # none whose bonds break
    frame = data.atoms(4)
    forces = [label_structures([frame], m, jobs=1).frames[0].get_forces() for m in (SECOND, CHEAP)]
    rows = slice(data.ptr[4], data.ptr[5])
    np.testing.assert_allclose(data.F[rows], forces[0] - forces[1], atol=1e-5)


def test_networks_that_are_there_are_found_and_nothing_is_labelled(tmp_path, small, monkeypatch):
    pool = pool_of(25)
    first = start_of(pool, tmp_path / "h", Pretraining(CHEAP))
    monkeypatch.setattr(room, "label_structures", None)
    again = start_of(pool[:3], tmp_path / "h", Pretraining(CHEAP))
    assert again.model.checksum == first.model.checksum == load_model(tmp_path / "h/model").checksum


@pytest.mark.parametrize(("second", "least"), [(None, 10), (SECOND, 21)])
def test_without_a_second_method_or_with_few_structures_there_is_none(
    tmp_path, small, monkeypatch, second, least
):
    monkeypatch.setattr(room, "LEAST", least)
    settings = Pretraining(CHEAP, second=second)
    assert start_of(pool_of(25), tmp_path / "h", settings) is None
    assert not (tmp_path / "h").exists()


def test_structures_on_which_a_method_is_lost_are_left_out(tmp_path, small, monkeypatch):
    """A difference of forces of tens of eV/Å would be most of the loss."""
    pool = pool_of(25)
    labels = label_structures([a.copy() for a in pool], SECOND, jobs=1).frames
    largest = sorted(
        np.abs(a.get_forces() - b.get_forces()).max()
        for a, b in zip(labels, pool, strict=True)
        if b.info["sampled_by"] == "thermal"
    )
    monkeypatch.setattr(room, "LARGEST_DIFFERENCE", largest[-3] + 1e-4)
    given = trained_on(monkeypatch)
    start_of(pool, tmp_path / "h", Pretraining(CHEAP))
    assert [len(data) for data in given] == [18]


def test_a_rare_element_ends_nothing(tmp_path, small, monkeypatch):
    """It might be missing in what a member is trained on; the networks of the difference learn it then."""
    monkeypatch.setattr(room, "RARE", 3)
    odd = label_structures([molecule("CH3SH")], CHEAP, jobs=1).frames
    odd[0].info["sampled_by"] = "thermal"
    start = start_of(pool_of(25) + odd, tmp_path / "h", Pretraining(CHEAP))
    assert list(start.model.elements) == [1, 6, 8]


@pytest.mark.slow
def test_it_is_worth_labels(tmp_path, monkeypatch):
    """PBE of real data: ten labels teach more from there than from random weights (69 to 57 meV/Å)."""
    monkeypatch.setitem(room.HEAD_START_FIT, "epochs", 40)
    frames = read(ROOT / "benchmarks/ethanol_1000K_pbe_def2svp.xyz", ":")
    reference = read_reference(CHEAP)
    bare = [a.copy() for a in frames]
    dear = minus(
        Dataset.from_atoms(frames),
        Dataset.from_atoms(label_structures(bare, CHEAP, jobs=1).frames),
        reference,
    )
    training, test = dear.subset(np.arange(20)), dear.subset(np.arange(40, 100))
    pool = label_structures([ethanol(0.1, s) for s in range(600)], CHEAP, jobs=1).frames
    for atoms in pool:
        atoms.info["sampled_by"] = "thermal"
    network = teacher_network(replace(TINY, n_atom_basis=32, n_filters=32))
    recipe = replace(recipe_of(20), config=network)
    start = room.head_start(
        pool, reference, Pretraining(CHEAP), recipe, tmp_path / "h", {"jobs": 1}
    )
    errors = []
    for k, begin in enumerate((None, start)):
        settings = teacher_settings(FitSettings(), training, 600, begin is not None)
        model = cross_validate(
            training, tmp_path / str(k), replace(recipe, settings=settings, start=begin), jobs=1
        )
        errors.append(compare(Ensemble(model), test).metrics()["forces_mae_meV_per_Ang"])
    assert errors[1] < 0.9 * errors[0], errors
