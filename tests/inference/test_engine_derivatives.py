"""Forces and stress are derivatives of the energy, which is smooth and knows no place in space."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from engine_cases import CONFIGS, PERIODIC, cluster, evaluate
from factory import NARROW, TINY, ethanol, preset, random_model

from ase_schnet.inference.ensemble import Ensemble
from ase_schnet.inference.prediction import AtomsCoincideError
from ase_schnet.inference.torch_ensemble import TorchEnsemble
from ase_schnet.modelfile import load_model
from ase_schnet.neighbors import half_list

# a stencil of five points, so that its steps may be long: the grain of −4000 eV does not show
STEPS, SHARES = (-2, -1, 1, 2), np.array([1, -8, 8, -1]) / 12


def slope(energies_at, step):
    """Derivative of `energies_at(x)`, (M,), at x = 0."""
    values = np.stack([energies_at(k * step) for k in STEPS])
    return SHARES @ (values - values[0]) / step


def numerical_forces(engine, atoms, indices, step=5e-4):
    """(M, len(indices), 3)"""
    pairs = half_list(
        atoms.positions, engine.model.config["cutoff"] + 0.1, atoms.cell.array, atoms.pbc
    )
    start = engine.evaluate(atoms.numbers, atoms.positions, pairs).atomic_energies

    def energies(displacement, i, axis):
        """Since the start, summed over atoms: the grain of a total of −300,000 eV would show."""
        positions = atoms.positions.copy()
        positions[i, axis] += displacement
        now = engine.evaluate(atoms.numbers, positions, pairs).atomic_energies
        return (now - start).sum(axis=1)

    columns = [
        [slope(lambda x, i=i, a=a: energies(x, i, a), step) for a in range(3)] for i in indices
    ]
    return -np.array(columns).transpose(2, 0, 1)


MODELS = {
    "tiny": lambda: random_model(),
    "default": lambda: random_model(preset("default"), members=1),
    "fast": lambda: random_model(preset("fast")),
    "odd widths": lambda: random_model(CONFIGS["odd widths"]),
    "trained": lambda: load_model(NARROW),
    "pretrained": lambda: load_model("ethanol"),
}


@pytest.mark.parametrize("name", MODELS)
def test_forces_are_minus_the_slope_of_the_engines_own_energy(name):
    engine, atoms = Ensemble(MODELS[name]()), ethanol()
    forces = evaluate(engine, atoms).forces
    assert np.abs(forces).max() > 0.1
    numerical = numerical_forces(engine, atoms, range(9))
    np.testing.assert_allclose(forces, numerical, rtol=0, atol=1e-7)


@pytest.mark.parametrize("name", PERIODIC)
def test_forces_of_periodic_structures_too(name):
    engine, atoms = Ensemble(random_model(pbc=True)), PERIODIC[name]
    some = range(0, len(atoms), max(1, len(atoms) // 4))
    numerical = numerical_forces(engine, atoms, some)
    forces = evaluate(engine, atoms).forces[:, some]
    np.testing.assert_allclose(forces, numerical, rtol=0, atol=1e-8)


@pytest.mark.parametrize("name", [n for n in PERIODIC if n != "three chunks"])
def test_virial_is_minus_the_slope_with_strain(name):
    engine, atoms = Ensemble(random_model(pbc=True)), PERIODIC[name]

    def energies(strain, a, b):
        matrix = np.eye(3)
        matrix[a, b] += strain
        strained = atoms.copy()
        strained.set_cell(atoms.cell.array @ matrix, scale_atoms=False)
        strained.positions = atoms.positions @ matrix
        return evaluate(engine, strained).energies

    numerical = [
        [slope(lambda x, a=a, b=b: energies(x, a, b), 3e-4) for b in range(3)] for a in range(3)
    ]
    numerical = -np.array(numerical).transpose(2, 0, 1)
    virials = evaluate(engine, atoms).virials
    assert np.abs(virials).max() > 0.1
    np.testing.assert_allclose(virials, numerical, rtol=0, atol=1e-5)


def steps_across(engine, atoms, distances):
    """Largest change of energy and force from one distance of the last atom from the first to the next."""
    answers = []
    for d in distances:
        atoms.positions[-1] = atoms.positions[0] + [0, 0, d]
        answers.append(evaluate(engine, atoms))
    return [
        np.abs(np.diff(values, axis=0)).max()
        for values in zip(*((a.energies, a.forces) for a in answers), strict=True)
    ]


@pytest.mark.parametrize("rest", [Atoms("O"), molecule("H2O")], ids=["atom", "molecule"])
@pytest.mark.parametrize("name", ["tiny", "fast", "odd widths", "trained", "pretrained"])
def test_nothing_jumps_where_an_atom_crosses_the_cutoff(name, rest):
    """Over one bit of the distance neither energy nor force changes; over more, as a smooth curve does.

    The envelope (1 + cos)/2 has a second derivative at its end, so that the force has a slope there.
    """
    engine, atoms = Ensemble(MODELS[name]()), rest + Atoms("H")
    cutoff = engine.model.config["cutoff"]
    one_bit = [np.nextafter(cutoff, 0), cutoff, np.nextafter(cutoff, 9)]
    energy, force = steps_across(engine, atoms, one_bit)
    steep = (
        10 if name == "pretrained" else 1
    )  # 36 eV/Å² at 5 Å, of two atoms that it never saw alone
    assert energy < 1e-11
    assert force < steep * 1e-9  # the rounding of the spline's slope
    coarse = steps_across(engine, atoms, cutoff + 1e-4 * np.arange(-2, 3))
    fine = steps_across(engine, atoms, cutoff + 1e-6 * np.arange(-2, 3))
    assert coarse[0] < steep * 1e-7
    assert coarse[1] < steep * 1e-3
    assert fine[0] < steep * 2e-11
    assert fine[1] < 0.011 * coarse[1]
    if "trained" not in name:  # of random weights, which have no reason to be steep
        assert coarse[0] < 1e-8
        assert coarse[1] < 1e-4


def test_a_cutoff_without_envelope_jumps():
    """The same measurement sees a jump where there is one: that of the network."""
    model = random_model(preset("fast", envelope="none"))
    for engine in (Ensemble(model), TorchEnsemble(model)):
        energy, force = steps_across(engine, Atoms("OH"), 5.0 + 1e-9 * np.array([-1, 1]))
        assert energy > 1e-3
        assert force > 1e-3


def test_the_step_of_a_cutoff_without_envelope_is_the_networks_own():
    model = random_model(preset("fast", envelope="none"))
    engine, direct = Ensemble(model), TorchEnsemble(model)
    for d in (5.0 - 1e-9, 5.0 + 1e-9):
        atoms = Atoms("OH", positions=[[0, 0, 0], [d, 0, 0]])
        got, expected = evaluate(engine, atoms), evaluate(direct, atoms)
        np.testing.assert_allclose(got.energies, expected.energies, rtol=0, atol=1e-6)
        np.testing.assert_allclose(got.forces, expected.forces, rtol=0, atol=1e-6)


def test_from_nearly_coincident_to_the_cutoff_as_torch_has_it():
    """A pair at every distance, with those between, on and next to the nodes of the tables."""
    model = random_model()
    engine, direct = Ensemble(model), TorchEnsemble(model)
    rng = np.random.default_rng(0)
    for d in (2e-6, 1e-3, *rng.uniform(0, 4, 50), *np.linspace(0.04, 4.0, 12), np.nextafter(4, 0)):
        atoms = Atoms("OH", positions=[[0, 0, 0], [d, 0, 0]])
        got, expected = evaluate(engine, atoms), evaluate(direct, atoms)
        np.testing.assert_allclose(got.energies, expected.energies, rtol=0, atol=1e-6)
        np.testing.assert_allclose(got.forces, expected.forces, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    "model", [random_model(), load_model("ethanol")], ids=["random", "trained"]
)
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-6), ("float32", 1e-4)])
def test_a_million_angstrom_away_nothing_changes(model, dtype, tolerance):
    engine, atoms = Ensemble(model, dtype), ethanol()
    near = evaluate(engine, atoms)
    atoms.positions += [1e6, -1e6, 1e6]
    far = evaluate(engine, atoms)
    np.testing.assert_allclose(far.forces, near.forces, rtol=0, atol=tolerance)
    np.testing.assert_allclose(far.energies, near.energies, rtol=0, atol=tolerance)


@pytest.mark.parametrize("name", ["triclinic", "slab"])
def test_a_crystal_a_million_angstrom_away_neither(name):
    engine, atoms = Ensemble(random_model(pbc=True)), PERIODIC[name].copy()
    near = evaluate(engine, atoms)
    atoms.positions += [1e6, -1e6, 1e6]
    far = evaluate(engine, atoms)
    np.testing.assert_allclose(far.forces, near.forces, rtol=0, atol=1e-6)
    np.testing.assert_allclose(far.virials, near.virials, rtol=0, atol=1e-5)


def test_fragments_far_apart_add():
    engine = Ensemble(random_model())
    a, b = ethanol(), molecule("H2O")
    b.positions += [0, 30.0, 0]
    both = evaluate(engine, a + b)
    apart = [evaluate(engine, a), evaluate(engine, b)]
    np.testing.assert_allclose(both.energies, apart[0].energies + apart[1].energies, atol=1e-10)
    np.testing.assert_allclose(
        both.forces, np.concatenate([p.forces for p in apart], axis=1), atol=1e-12
    )
    np.testing.assert_allclose(both.virials, apart[0].virials + apart[1].virials, atol=1e-11)


@pytest.mark.parametrize("n", [1, 3, 200, 300])
def test_atoms_without_any_pair(n):
    """An empty list of pairs, below and above the size that is shared by threads."""
    atoms = Atoms(f"O{n}", positions=np.arange(n)[:, None] * [7.0, 0, 0])
    for dtype in ("float64", "float32"):
        got = evaluate(Ensemble(random_model(), dtype, threads=2), atoms)
        alone = evaluate(Ensemble(random_model(), dtype), Atoms("O"))
        np.testing.assert_allclose(got.energies, n * alone.energies, rtol=0, atol=1e-8)
        assert not got.forces.any()
        assert not got.virials.any()
    assert half_list(atoms.positions, TINY.cutoff).idx_i.shape == (0,)


def test_a_lonely_atom_sees_its_images():
    chain = Atoms("C", cell=[1.7, 9, 9], pbc=[True, False, False])
    engine = Ensemble(random_model(pbc=True))
    got = evaluate(engine, chain)
    long = evaluate(engine, chain.repeat((8, 1, 1)))
    np.testing.assert_allclose(long.energies, 8 * got.energies, rtol=0, atol=1e-9)
    assert not got.forces.any()
    assert abs(got.virials[0, 0, 0]) > 1e-3
    assert not got.virials[:, 1:].any()


@pytest.mark.parametrize("n", [2, 9, 300])
@pytest.mark.parametrize("threads", [1, 2])
def test_atoms_in_one_place_are_named_and_the_engine_works_on(n, threads):
    engine, atoms = Ensemble(random_model(), threads=threads), cluster(n)
    good = evaluate(engine, atoms)
    bad = atoms.copy()
    bad.positions[n - 1] = bad.positions[0] + 1e-8
    with pytest.raises(AtomsCoincideError, match=f"atoms 0 and {n - 1} are in the same place"):
        evaluate(engine, bad)
    np.testing.assert_array_equal(evaluate(engine, atoms).forces, good.forces)


def test_two_images_in_one_place_are_named():
    atoms = bulk("C")
    atoms.positions[1] = atoms.cell[0] + atoms.cell[2]
    with pytest.raises(AtomsCoincideError, match="atoms 0 and 1"):
        evaluate(Ensemble(random_model(pbc=True)), atoms)
