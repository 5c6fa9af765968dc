"""The safety net below the distances of training: exact, smooth, repulsive, and nothing beyond them."""

import copy
import pickle
from pathlib import Path

import numpy as np
import pytest
import scipy.constants
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.fd import calculate_numerical_forces, calculate_numerical_stress
from ase.io import read
from engine_cases import assert_same, evaluate
from factory import NARROW, ethanol, random_model

from ase_schnet import SchNetCalculator
from ase_schnet.dynamics.md import run_nve
from ase_schnet.inference.ensemble import Ensemble
from ase_schnet.inference.repulsion import onsets, softened_distances, switched_zbl, zbl
from ase_schnet.inference.torch_ensemble import TorchEnsemble
from ase_schnet.modelfile import load_model, save_model
from ase_schnet.runs.drift import drift
from ase_schnet.runs.failures import SimulationExploded
from ase_schnet.scan import scan_distance

PBE_SCAN = Path(__file__).parents[2] / "md_examples" / "ethanol_oh_scan_pbe_def2svp.xyz"


@pytest.fixture(scope="module")
def relaxed():
    """The minimum of PBE, O-H 0.98 Å."""
    return min(read(PBE_SCAN, ":"), key=lambda a: a.get_potential_energy())


@pytest.fixture(scope="module")
def shipped():
    return SchNetCalculator(NARROW, repulsion="zbl")


def squeezed() -> Atoms:
    """Ethanol with an O-H pair in the switch, a C-O pair deep below it and hydrogens through each other."""
    atoms = ethanol()
    atoms.set_distance(2, 3, 0.8, fix=0)
    atoms.set_distance(1, 2, 0.7, fix=0)
    atoms.set_distance(6, 7, 0.3, fix=0)
    return atoms


def pair(symbols: str, d: float) -> Atoms:
    return Atoms(symbols, [[0.0, 0.1, -0.2], [d, 0.1, -0.2]])


def shot_at_each_other(calculator):
    """The record of O and H that meet with 30 eV, and where they are after it."""
    atoms = pair("OH", 2.5)
    atoms.calc = calculator
    masses = atoms.get_masses()
    momentum = np.sqrt(2 * 30.0 * masses.prod() / masses.sum())
    atoms.set_momenta([[momentum, 0, 0], [-momentum, 0, 0]])
    return run_nve(atoms, keep_momenta=True, time_ps=0.01, timestep_fs=0.01), atoms


# --- the repulsion --------------------------------------------------------------------------------


def test_near_each_other_two_nuclei_obey_coulombs_law():
    d, z_i, z_j = np.array([1e-6, 1e-6]), np.array([1, 8]), np.array([6, 14])
    c = scipy.constants
    coulomb = c.e**2 / (4 * np.pi * c.epsilon_0) * z_i * z_j / (d * c.angstrom) / c.eV
    np.testing.assert_allclose(zbl(d, z_i, z_j)[0], coulomb, rtol=1e-4)


def test_it_follows_pbe_where_a_collision_leads(relaxed, shipped):
    """O-H from 0.75 Å, up to 2.2 eV: there the network alone is already wrong by 4.2 eV."""
    frames = [a for a in read(PBE_SCAN, ":") if 0.74 < a.get_distance(2, 8) < 0.88]
    reference = [a.get_potential_energy() - relaxed.get_potential_energy() for a in frames]
    zero = shipped.get_potential_energy(relaxed.copy())
    energies = [shipped.get_potential_energy(a.copy()) - zero for a in frames]
    np.testing.assert_allclose(energies, reference, atol=0.1, rtol=0.15)


def test_energy_force_and_curvature_are_continuous_at_the_onset():
    z, onset = np.array([8]), np.array([0.9])
    for eps in (1e-3, 1e-4):
        d = onset - eps
        energy, slope = switched_zbl(d, z, z, onset)
        curvature = (switched_zbl(d + 1e-6, z, z, onset)[1] - slope) / 1e-6
        # the energy begins with the third power: these shrink as eps³, eps² and eps
        assert 0 < energy[0] < 1e5 * eps**3
        assert 0 < -slope[0] < 3e5 * eps**2
        assert 0 < curvature[0] < 6e5 * eps
    d = np.linspace(0.7, 1.0, 3001)
    seen, rate = softened_distances(d, np.full(d.shape, 0.9))
    np.testing.assert_allclose(np.gradient(seen, d), rate, atol=2e-3)
    assert np.abs(np.diff(rate)).max() < 3e-3  # no jump
    np.testing.assert_array_equal(seen[d >= 0.9], d[d >= 0.9])
    assert seen.min() == pytest.approx(0.95 * 0.9)


# --- in both engines ------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", [Ensemble, TorchEnsemble])
@pytest.mark.parametrize("d", [0.3, 0.7, 0.83, 0.86, 0.899])
def test_a_pair_is_the_network_at_the_softened_distance_plus_the_repulsion(engine, d):
    """The same for all members: their spread is that of the network."""
    model = random_model(members=3)
    assert onsets(model)["H-O"] == 0.9
    onset = np.array([0.9])
    seen = softened_distances(np.array([d]), onset)[0][0]
    extra = switched_zbl(np.array([d]), np.array([8]), np.array([1]), onset)[0][0]
    got = evaluate(engine(model, repulsion="zbl"), pair("OH", d))
    network = evaluate(engine(model), pair("OH", seen))
    np.testing.assert_allclose(got.energies - network.energies, extra, rtol=0, atol=1e-8)
    halves = np.full((3, 2), extra / 2)
    np.testing.assert_allclose(got.atomic_energies - network.atomic_energies, halves, atol=1e-8)


def test_the_engines_agree():
    model = random_model(members=3)
    got = evaluate(Ensemble(model, repulsion="zbl"), squeezed())
    assert_same(got, evaluate(TorchEnsemble(model, repulsion="zbl"), squeezed()), 1e-5)
    single = evaluate(Ensemble(model, "float32", repulsion="zbl"), squeezed())
    np.testing.assert_allclose(single.forces, got.forces, rtol=1e-5, atol=1e-3)


def test_forces_are_minus_the_gradient_and_energies_those_of_the_atoms(tmp_path):
    atoms = squeezed()
    atoms.calc = SchNetCalculator(save_model(tmp_path, random_model()), repulsion="zbl")
    numerical = calculate_numerical_forces(atoms, eps=1e-5)
    np.testing.assert_allclose(atoms.get_forces(), numerical, rtol=1e-6, atol=1e-5)
    energy = atoms.get_potential_energy()
    assert atoms.get_potential_energies().sum() == pytest.approx(energy, rel=1e-12)
    assert atoms.calc.results["energy_committee"].mean() == pytest.approx(energy, rel=1e-12)
    np.testing.assert_allclose(atoms.get_forces().sum(axis=0), 0.0, atol=1e-8)


@pytest.mark.parametrize("a", [3.0, 2.6, 1.8])
def test_images_repel_and_stress_is_the_derivative_by_strain(tmp_path, a):
    """Diamond, onset 1.37 Å: its two atoms meet at 0.43 a, and their own images at a/√2, of 1.8 Å 1.27 Å."""
    atoms = bulk("C", a=a)
    atoms.rattle(0.02, seed=1)
    model = save_model(tmp_path, random_model(pbc=True))
    energies = []
    for repulsion in (None, "zbl"):
        atoms.calc = SchNetCalculator(model, repulsion=repulsion)
        energies.append(atoms.get_potential_energy())
    assert energies[1] > energies[0] + 0.01
    numerical = calculate_numerical_stress(atoms, eps=1e-6)
    np.testing.assert_allclose(atoms.get_stress(), numerical, rtol=1e-5, atol=1e-6)
    large = atoms.repeat(2)
    large.calc = atoms.calc
    assert large.get_potential_energy() == pytest.approx(8 * energies[1], abs=1e-6)


def test_beyond_all_onsets_not_a_bit_changes(relaxed, shipped):
    atoms = relaxed.copy()
    shipped.get_forces(atoms)
    with_net = shipped.results
    without = SchNetCalculator(NARROW, repulsion=None)
    without.get_forces(atoms)
    for name, value in {**without.results, **without.results.extra}.items():
        np.testing.assert_array_equal(with_net[name], value)


# --- what it is for -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("symbols", "fall_eV"), [("HH", 0.0), ("CH", 1.0), ("OH", 0.0), ("CC", 0.0), ("CO", 0.0)]
)
def test_every_kind_of_pair_repels_all_the_way_in(shipped, symbols, fall_eV):
    """Two atoms alone, to 0.3 Å. The network alone falls into a hole on the way.

    Of a lone pair it knows nothing: of C and H it thinks that they attract, until it is held back, at 0.9 of
    the onset.
    """
    onset = onsets(shipped.trained)["-".join(sorted(symbols))]
    distances = np.arange(onset, 0.3, -0.01)
    frames = [pair(symbols, d) for d in distances]
    energies = np.array([shipped.get_potential_energy(a) for a in frames])
    assert (np.diff(energies[distances < 0.9 * onset]) > 0).all()
    assert (np.maximum.accumulate(energies) - energies).max() <= fall_eV
    bare = SchNetCalculator(NARROW, repulsion=None)
    assert np.diff([bare.get_potential_energy(a) for a in frames]).min() < -0.1


@pytest.mark.parametrize("name", ["ethanol", "methanol"])
@pytest.mark.parametrize("symbols", ["HH", "CH", "OH", "CC", "CO", "OO"])
def test_pretrained_models_repel_all_the_way_in(name, symbols):
    """Their distances reach farther in, and so the repulsion begins farther in."""
    calculator = SchNetCalculator(name)
    onset = onsets(calculator.trained)["-".join(sorted(symbols))]
    distances = np.arange(onset, 0.3, -0.01)
    energies = np.array([calculator.get_potential_energy(pair(symbols, d)) for d in distances])
    assert (np.diff(energies[distances < 0.9 * onset]) > 0).all()
    assert (np.maximum.accumulate(energies) - energies).max() < 0.2


@pytest.mark.slow
def test_every_bond_of_ethanol_repels_all_the_way_in(relaxed, shipped):
    """The two halves of the molecule are pushed into each other; the network alone falls by 16 eV or more."""
    bonded = np.argwhere(np.triu(relaxed.get_all_distances() < 1.6, 1))
    bonded = [(i, j) for i, j in bonded.tolist() if set(relaxed.symbols[[i, j]]) != {"H"}]
    assert len(bonded) == 8
    atoms = relaxed.copy()
    for i, j in bonded:
        onset = onsets(shipped.trained)["-".join(sorted(relaxed.symbols[[i, j]]))]
        distances = np.arange(onset + 0.03, 0.3, -0.02)
        for atoms.calc, closed in (
            (shipped, True),
            (SchNetCalculator(NARROW, repulsion=None), False),
        ):
            energies = scan_distance(atoms, i, j, distances, progress=False).energies_eV
            assert (np.diff(energies) > 0).all() == closed
            assert closed or (np.maximum.accumulate(energies) - energies).max() > 15


@pytest.mark.parametrize("name", ["ethanol", "methanol"])
def test_atoms_shot_at_each_other_bounce_off_pretrained_models_too(name):
    record, atoms = shot_at_each_other(SchNetCalculator(name))
    assert not drift(record).reasons, str(drift(record))
    assert atoms.positions[1, 0] - atoms.positions[0, 0] > 1.5
    assert record.kinetic_energy_eV.min() < 5.0


def test_atoms_shot_at_each_other_bounce_and_conserve_energy(shipped):
    """O and H at 30 eV. Without the net the hydrogen falls into the hole."""
    record, atoms = shot_at_each_other(shipped)
    assert not drift(record).reasons, str(drift(record))
    assert atoms.positions[1, 0] - atoms.positions[0, 0] > 1.5  # on the side it came from
    assert record.kinetic_energy_eV.min() < 5.0  # it was stopped
    with pytest.raises(SimulationExploded):
        shot_at_each_other(SchNetCalculator(NARROW, repulsion=None))


# --- as a user meets it ---------------------------------------------------------------------------


def test_elements_never_seen_together_have_an_onset_of_their_own():
    found = onsets(load_model(NARROW))
    assert found["H-O"] == pytest.approx(0.884, abs=1e-3)
    assert found["O-O"] == pytest.approx(0.9 * 2 * 0.66)  # one oxygen per molecule
    assert len(found) == 6


def test_it_is_on_unless_switched_off_and_the_record_of_a_run_says_so(relaxed):
    atoms = relaxed.copy()
    atoms.calc = SchNetCalculator(NARROW)
    assert atoms.calc.model_info["repulsion"] == "zbl"
    atoms.set_distance(2, 8, 0.65, fix=0)  # where the network alone is in its hole
    safe = atoms.get_potential_energy()
    assert set(atoms.calc.set(repulsion=None)) == {"repulsion"}
    assert atoms.calc.model_info["repulsion"] is None
    assert atoms.get_potential_energy() < safe - 5.0
    atoms.calc.set(repulsion="zbl")
    assert atoms.get_potential_energy() == safe


@pytest.mark.parametrize("kind", ["morse", "ZBL", True, 1.0])
def test_an_unknown_repulsion_is_refused(kind):
    with pytest.raises(ValueError, match="repulsion is 'zbl' or None, got"):
        SchNetCalculator(NARROW, repulsion=kind)


@pytest.mark.parametrize("engine", [Ensemble, TorchEnsemble])
def test_copies_repel_too(engine):
    original = engine(random_model(), repulsion="zbl")
    expected = evaluate(original, squeezed())
    for again in (pickle.loads(pickle.dumps(original)), copy.deepcopy(original)):
        np.testing.assert_array_equal(evaluate(again, squeezed()).forces, expected.forces)


def test_copies_of_the_calculator_repel_too(shipped):
    atoms = molecule("CH3CH2OH")
    atoms.set_distance(2, 3, 0.6, fix=0)
    expected = shipped.get_potential_energy(atoms)
    for again in (pickle.loads(pickle.dumps(shipped)), copy.deepcopy(shipped)):
        assert again.get_potential_energy(atoms) == expected
