"""Many structures at once: the same bits as one by one, in order, whatever shares a block or a thread."""

from itertools import count, islice

import numpy as np
import pytest
from engine_cases import CONFIGS, PERIODIC, cluster, crystal
from factory import ethanol, labelled_crystals, random_model, small_dataset

from ase_schnet.data.dataset import Dataset
from ase_schnet.evaluation import compare, structures_of
from ase_schnet.inference import blocks
from ase_schnet.inference.buffers import CHUNK
from ase_schnet.inference.ensemble import Ensemble
from ase_schnet.inference.prediction import AtomsCoincideError, predictions_of
from ase_schnet.inference.torch_ensemble import TorchEnsemble
from ase_schnet.neighbors import half_list


@pytest.fixture(scope="module")
def model():
    return random_model(members=3, pbc=True)


def structure_of(atoms, cutoff=4.0):
    pairs = half_list(atoms.positions, cutoff, atoms.cell.array, atoms.pbc)
    return atoms.numbers, atoms.positions, pairs


def mixed(n=40, seed=0):
    """Clusters and crystals of 1 to 288 atoms in no order; one fills a block, one is an atom larger."""
    rng = np.random.default_rng(seed)
    frames = [cluster(int(size), seed=k) for k, size in enumerate(rng.integers(1, 40, n))]
    frames += [*PERIODIC.values(), cluster(CHUNK), cluster(CHUNK + 1), ethanol()]
    return [structure_of(frames[k]) for k in rng.permutation(len(frames))]


def assert_same_bits(got, expected):
    for name, a, b in zip(got._fields, got, expected, strict=True):
        assert a.shape == b.shape, name
        assert a.tobytes() == b.tobytes(), name


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("repulsion", [None, "zbl"])
def test_many_at_once_are_the_same_bits_as_one_by_one(model, dtype, threads, repulsion):
    structures = mixed()
    alone = Ensemble(model, dtype, threads=1, repulsion=repulsion)
    if repulsion is not None:  # else it would prove nothing
        assert any(alone.repulsion.acts_on(*structure) for structure in structures)
    together = Ensemble(model, dtype, threads=threads, repulsion=repulsion)
    found = list(together.evaluate_many(iter(structures)))
    assert len(found) == len(structures)
    for got, structure in zip(found, structures, strict=True):
        assert_same_bits(got, alone.evaluate(*structure))
        assert all(part.flags.c_contiguous and part.flags.owndata for part in got)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["default", "odd widths", "narrow", "one of each", "fast"])
def test_networks_of_any_widths_have_the_same_bits(name):
    model = random_model(CONFIGS[name], members=2, pbc=True)
    structures = mixed(12, seed=1)
    alone = Ensemble(model, threads=1)
    for got, structure in zip(
        Ensemble(model, threads=2).evaluate_many(structures), structures, strict=True
    ):
        assert_same_bits(got, alone.evaluate(*structure))


def test_a_structure_for_all_threads_keeps_its_place(monkeypatch, model):
    monkeypatch.setattr(blocks, "SHARED_FROM", 250)
    structures = [structure_of(a) for a in (ethanol(), crystal((4, 3, 3)), cluster(5), ethanol())]
    assert len(structures[1][0]) >= 250
    alone = Ensemble(model, threads=1)
    found = list(Ensemble(model, threads=2).evaluate_many(structures))
    for got, structure in zip(found, structures, strict=True):
        assert_same_bits(got, alone.evaluate(*structure))


def test_a_structure_without_atoms_has_no_energy(model):
    nothing = np.zeros(0, np.int64), np.zeros((0, 3)), half_list(np.zeros((1, 3)), 4.0)
    first, empty, last = Ensemble(model).evaluate_many(
        [structure_of(ethanol()), nothing, structure_of(ethanol())]
    )
    assert empty.energies.tolist() == [0.0] * 3
    assert empty.forces.shape == (3, 0, 3)
    assert_same_bits(first, last)


@pytest.mark.parametrize("n", [1, 3])
def test_atoms_without_any_pair_may_come_first(model, n):
    atom = structure_of(cluster(1))
    structures = [atom] * n
    for got in Ensemble(model, threads=1).evaluate_many(structures):
        assert_same_bits(got, Ensemble(model).evaluate(*atom))


@pytest.mark.parametrize("kind", [Ensemble, TorchEnsemble])
def test_two_atoms_in_one_place_are_named_by_their_own_numbers(model, kind):
    bad = cluster(6)
    bad.positions[4] = bad.positions[1]
    structures = [structure_of(a) for a in (ethanol(), bad, cluster(9), bad, ethanol(seed=2))]
    engine = kind(model)
    found = list(engine.evaluate_many(structures))
    for k in (1, 3):
        assert isinstance(found[k], AtomsCoincideError)
        assert found[k].args == (1, 4)
    for k in (0, 2, 4):
        assert_same_bits(found[k], kind(model).evaluate(*structures[k]))
    answers = predictions_of(engine, structures)
    next(answers)
    with pytest.raises(AtomsCoincideError, match="atoms 1 and 4"):
        next(answers)


@pytest.mark.parametrize("threads", [1, 2])
def test_structures_without_end_are_read_a_little_ahead(model, threads):
    taken = 0

    def forever():
        nonlocal taken
        for k in count():
            taken += 1
            yield structure_of(ethanol(seed=k))

    engine = Ensemble(model, threads=threads)
    answers = engine.evaluate_many(forever())
    found = list(islice(answers, 100))
    assert len(found) == 100
    ahead = (blocks.AHEAD * threads + 2) * (CHUNK // 9 + 1)
    assert taken <= 100 + ahead
    answers.close()
    assert_same_bits(engine.evaluate(*structure_of(ethanol(seed=99))), found[99])


@pytest.mark.parametrize("threads", [1, 2])
def test_the_engine_may_be_used_between_two_answers(model, threads):
    structures = mixed(seed=3)
    engine, alone = Ensemble(model, threads=threads), Ensemble(model, threads=1)
    other = structure_of(PERIODIC["three chunks"])
    expected = alone.evaluate(*other)
    for got, structure in zip(engine.evaluate_many(structures), structures, strict=True):
        assert_same_bits(got, alone.evaluate(*structure))
        assert_same_bits(engine.evaluate(*other), expected)


def test_an_error_in_a_thread_is_the_callers(monkeypatch, model):
    def broken(*_):
        raise MemoryError("no room")

    monkeypatch.setattr(blocks.BlockBuffers, "fit", broken)
    with pytest.raises(MemoryError, match="no room"):
        list(Ensemble(model, threads=2).evaluate_many(mixed()))


@pytest.mark.parametrize(
    "dataset", [small_dataset(30), Dataset.from_atoms(labelled_crystals(), source="crystals")]
)
def test_a_comparison_has_the_numbers_of_one_by_one(dataset, model):
    comparison, alone = compare(Ensemble(model, threads=2), dataset), Ensemble(model, threads=1)
    for s, structure in enumerate(structures_of(dataset, model.config["cutoff"])):
        part, expected = slice(dataset.ptr[s], dataset.ptr[s + 1]), alone.evaluate(*structure)
        np.testing.assert_array_equal(comparison.energies[:, s], expected.energies)
        np.testing.assert_array_equal(comparison.forces[:, part], expected.forces)
        if comparison.stress is not None:
            volume = dataset.volumes[s]
            np.testing.assert_array_equal(
                comparison.stress[:, s, 0], -expected.virials[:, 0, 0] / volume
            )
