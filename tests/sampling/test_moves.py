"""Each move of a structure changes what it says, and nothing else."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.data import covalent_radii
from sampling_cases import stretched_bonds

from ase_schnet.bonds import bonds_of, overlapping
from ase_schnet.sampling.collide import collide
from ase_schnet.sampling.crystal import strain, vacancy
from ase_schnet.sampling.displace import displace
from ase_schnet.sampling.plan import CRYSTAL_K, SamplingPlan
from ase_schnet.sampling.rotate import rotate
from ase_schnet.sampling.stretch import LONGEST_IN_RING, stretch_one, stretch_two
from ase_schnet.sampling.topology import Topology

STILL = SamplingPlan(noise_Ang=(0, 0), stretch_noise_Ang=(0, 0))
MANY = 60


def moved(move, atoms, plan=STILL, seed=0):
    rng, topology = np.random.default_rng(seed), Topology(atoms)
    frames = [move(atoms, topology, plan, rng) for _ in range(MANY)]
    return [frame for frame in frames if frame is not None]


def test_a_stretch_changes_one_bond_within_its_factors_and_moves_the_lighter_side():
    ethanol = molecule("CH3CH2OH")
    factors, bonds = [], bonds_of(ethanol)
    for frame in moved(stretch_one, ethanol):
        changed = stretched_bonds(ethanol, frame, bonds)
        assert len(changed) == 1
        factors += changed.values()
        still = np.abs(frame.positions - ethanol.positions).max(axis=1) < 1e-9
        assert ethanol.get_masses()[~still].sum() <= ethanol.get_masses()[still].sum()
    assert min(factors) > 0.72
    assert max(factors) < 3.2
    assert 0.35 < np.mean(np.log(factors) > np.log(0.72 * 3.2) / 2) < 0.65  # uniform logarithm


def test_two_stretches_change_two_bonds():
    ethanol = molecule("CH3CH2OH")
    counts = [
        len(stretched_bonds(ethanol, frame, bonds_of(ethanol)))
        for frame in moved(stretch_two, ethanol)
    ]
    assert set(counts) == {2}


def test_a_ring_is_not_torn_and_its_atoms_take_their_hydrogens_along():
    benzene = molecule("C6H6")
    bonds = bonds_of(benzene)
    for frame in moved(stretch_one, benzene):
        changed = stretched_bonds(benzene, frame, bonds)
        of_hydrogen = [b for b in changed if "H" in benzene.symbols[list(b)]]
        if len(changed) > 1:  # a bond of the ring: its neighbour in the ring changes too
            assert of_hydrogen == []
            assert max(changed.values()) <= LONGEST_IN_RING + 0.3
        else:
            assert len(of_hydrogen) == 1


def test_a_rotation_keeps_bonds_and_angles_and_changes_dihedrals():
    ethanol = molecule("CH3CH2OH")
    topology = Topology(ethanol)
    assert len(topology.rotatable) == 2
    for frame in moved(rotate, ethanol):
        assert stretched_bonds(ethanol, frame, topology.bonds) == {}
        for centre in range(3):
            near = [j for b in topology.bonds for j in b if centre in b and j != centre]
            angles = [(a, centre, b) for a in near for b in near if a < b]
            assert frame.get_angles(angles) == pytest.approx(ethanol.get_angles(angles), abs=1e-6)
        assert np.abs(frame.get_all_distances() - ethanol.get_all_distances()).max() > 1e-3


@pytest.mark.parametrize("name", ["H2O", "C6H6", "CO2"])
def test_without_a_rotatable_bond_there_is_no_rotation(name):
    assert moved(rotate, molecule(name)) == []


def test_two_molecules_meet_at_the_distance_that_is_asked_for_and_stay_rigid():
    water, methanol = molecule("H2O"), molecule("CH3OH")
    methanol.translate([7, 0, 0])
    pair = water + methanol
    plan = SamplingPlan(stretch_noise_Ang=(0, 0), contact_factors=(1.3, 1.3))
    radii = covalent_radii[pair.numbers]
    frames = moved(collide, pair, plan)
    assert len(frames) == MANY
    for frame in frames:
        ratios = frame.get_all_distances()[:3, 3:] / (radii[:3, None] + radii[None, 3:])
        assert ratios.min() == pytest.approx(1.3, abs=1e-6)
        for part in (slice(0, 3), slice(3, None)):
            assert frame[part].get_all_distances() == pytest.approx(pair[part].get_all_distances())
    directions = [frame.positions[:3].mean(0) - frame.positions[3:].mean(0) for frame in frames]
    assert np.abs(np.mean(directions, axis=0)).max() < 1.5  # from all sides


def test_two_parts_of_a_molecule_are_pushed_together():
    ethanol = molecule("CH3CH2OH")
    plan = SamplingPlan(stretch_noise_Ang=(0, 0), contact_factors=(1.5, 1.5))
    topology, radii = Topology(ethanol), covalent_radii[ethanol.numbers]
    steps = np.array([topology.bonds_between(k) for k in range(len(ethanol))])
    frames = moved(collide, ethanol, plan)
    assert len(frames) > MANY / 5
    for frame in frames:
        ratios = (frame.get_all_distances() / (radii[:, None] + radii))[steps >= 3]
        assert np.abs(ratios - 1.5).min() < 0.02
    assert moved(collide, molecule("H2O"), plan) == []


def test_strain_moves_atoms_with_the_cell_and_a_vacancy_takes_one():
    silicon = bulk("Si", cubic=True) * (2, 1, 1)
    for frame in moved(strain, silicon):
        assert frame.get_scaled_positions() == pytest.approx(silicon.get_scaled_positions())
        change = np.linalg.solve(silicon.cell.array, frame.cell.array) - np.eye(3)
        assert change == pytest.approx(change.T)  # no rotation
        assert 0 < np.abs(change).max() <= STILL.strain + 1e-9
    assert {len(frame) for frame in moved(vacancy, silicon)} == {15}
    assert moved(vacancy, bulk("Si")) == []
    assert moved(strain, molecule("H2O")) == []
    slab = Atoms("Si2", [[0, 0, 0], [1, 1, 1]], cell=[4, 4, 20], pbc=[True, True, False])
    assert all(np.allclose(frame.cell[2], [0, 0, 20]) for frame in moved(strain, slab))


def test_noise_has_the_width_that_is_asked_for():
    frames = moved(displace, molecule("C6H6"), SamplingPlan(noise_Ang=(0.1, 0.1)))
    noise = np.array([frame.positions for frame in frames]) - molecule("C6H6").positions
    assert noise.std() == pytest.approx(0.1, rel=0.05)


def test_overlap_counts_periodic_images():
    molecule_ = Atoms("H2", [[0, 0, 0], [0, 0, 0.4]])  # covalent radii 0.31 Å each
    assert overlapping(molecule_, 0.7)
    assert not overlapping(molecule_, 0.6)
    across = Atoms("H2", [[0, 0, 0.1], [0, 0, 4.7]], cell=[5, 5, 5], pbc=True)
    assert overlapping(across, 0.7)
    assert not overlapping(across, 0.6)


def test_default_plans_know_molecules_pairs_and_crystals():
    water = molecule("H2O")
    assert "rotated" not in SamplingPlan.for_starts([water]).shares
    assert "collision" not in SamplingPlan.for_starts([water]).shares
    far = molecule("H2O")
    far.translate([4, 0, 0])
    assert SamplingPlan.for_starts([water + far]).shares["collision"] > 0
    crystal = SamplingPlan.for_starts([bulk("Si", cubic=True)])
    assert crystal.shares["vacancies"] > 0
    assert crystal.temperatures_K == CRYSTAL_K
    water.set_cell([8, 8, 8])
    water.pbc = True
    boxed = SamplingPlan.for_starts([water])
    assert "stretched" in boxed.shares
    assert "vacancies" not in boxed.shares
    with pytest.raises(ValueError, match="some starts are molecules and some are cells"):
        SamplingPlan.for_starts([far, water])


def test_shares_that_are_given_leave_the_rest_to_the_others():
    plan = SamplingPlan().with_shares({"collision": 0.2, "md": 0.5})
    assert plan.shares["collision"] == 0.2
    assert sum(plan.shares.values()) == pytest.approx(1)
    before = SamplingPlan().shares
    ratio = plan.shares["displaced"] / plan.shares["stretched"]
    assert ratio == pytest.approx(before["displaced"] / before["stretched"])
    with pytest.raises(ValueError, match="more than 1"):
        plan.with_shares({"md": 0.9, "rotated": 0.3})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"shares": {"melting": 1.0}}, "no kind 'melting'"),
        ({"shares": {"md": 0.5}}, "must add up to 1"),
        ({"temperatures_K": (300.0, 0.0)}, "temperatures_K must be above 0"),
        ({"temperatures_K": (1e9,)}, "temperatures_K is 1e\\+09 K, above 20000 K"),
        ({"melt_temperature_K": 1e9}, "melt_temperature_K is 1e\\+09 K, above"),
        ({"temperatures_K": ()}, "at least one temperature"),
        ({"stretch_factors": (3.0, 1.0)}, "the smaller first"),
        ({"shortest": 1.5}, "shortest must be"),
        ({"interval": 0}, "interval must be a whole number"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        SamplingPlan(**settings)
