"""SchNet in torch: its size, its formulas, and the laws of physics it must obey."""

import numpy as np
import pytest
import torch
from ase.build import molecule
from batches import collate, count_parameters, energy_and_forces
from engine_cases import batch_of
from factory import ELEMENTS, TINY, ethanol, potentials, preset

from ase_schnet.model.batch import sum_per_structure
from ase_schnet.model.potential import Potential
from ase_schnet.model.radial import CosineCutoff, GaussianRBF, shifted_softplus
from ase_schnet.model.schnet import CFConv, SchNet
from ase_schnet.schnet_config import PRESETS, SchNetConfig


@pytest.fixture
def potential():
    return potentials(members=1, dtype=torch.float64)[0]


@pytest.mark.parametrize(
    ("name", "parameters"), [("small", 13_345), ("default", 116_225), ("large", 874_817)]
)
def test_parameter_counts_of_the_report(name, parameters):
    assert count_parameters(SchNet(PRESETS[name])) == parameters


@pytest.mark.parametrize("name", PRESETS)
def test_model_file_knows_the_shape_of_every_weight(name):
    state = SchNet(PRESETS[name]).state_dict()
    assert {k: tuple(v.shape) for k, v in state.items()} == PRESETS[name].weight_shapes()


def test_shifted_softplus_survives_where_the_naive_form_overflows():
    x = torch.tensor([300.0], dtype=torch.float32, requires_grad=True)
    assert torch.isinf(torch.log(0.5 * torch.exp(x) + 0.5))
    y = shifted_softplus(x)
    y.backward()
    assert y.item() == pytest.approx(300.0 - np.log(2.0))
    assert x.grad.item() == 1.0


def test_shifted_softplus_is_the_papers_formula():
    x = torch.linspace(-10, 10, 41, dtype=torch.float64)
    torch.testing.assert_close(shifted_softplus(x), torch.log(0.5 * torch.exp(x) + 0.5))


def test_gaussians_of_the_paper_stand_every_tenth_of_an_angstrom():
    like = torch.zeros((), dtype=torch.float64)
    centres = GaussianRBF(SchNetConfig(n_rbf=300, cutoff=30.0, gamma=10.0)).centres(like)
    torch.testing.assert_close(centres, torch.arange(300, dtype=torch.float64) / 10)
    values = GaussianRBF(SchNetConfig(n_rbf=50, cutoff=5.0, gamma=10.0))(
        torch.tensor([1.03], dtype=torch.float64)
    )
    assert values[0, 10].item() == pytest.approx(np.exp(-10 * 0.03**2))


def test_gaussians_hold_no_denormal_numbers():
    values = GaussianRBF(PRESETS["default"])(torch.linspace(0.5, 30, 500, dtype=torch.float32))
    assert not ((values > 0) & (values < 1.2e-38)).any()


def test_envelope_vanishes_with_its_slope_at_the_cutoff():
    d = torch.tensor([4.999, 5.0, 7.0], dtype=torch.float64, requires_grad=True)
    f = CosineCutoff(5.0)(d)
    f.sum().backward()
    just_inside = 0.25 * (np.pi / 5.0 * 1e-3) ** 2  # leading term of ½ (1 + cos(π − x))
    assert f.detach().tolist() == pytest.approx([just_inside, 0.0, 0.0], rel=1e-3)
    assert d.grad.tolist() == pytest.approx([0.0, 0.0, 0.0], abs=1e-3)


def test_cfconv_is_the_sum_over_neighbours_of_equation_2():
    """Against the paper's formula written as loops over a full list."""
    conv = CFConv(n_rbf=7, n_filters=5).double()
    atoms = ethanol()
    batch = batch_of(atoms, cutoff=2.5)
    d = np.linalg.norm(atoms.positions[batch.idx_j] - atoms.positions[batch.idx_i], axis=1)
    rbf = GaussianRBF(SchNetConfig(n_rbf=7, cutoff=2.5, gamma=10.0))(torch.tensor(d))
    envelope = CosineCutoff(2.5)(torch.tensor(d))
    x = torch.randn(9, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    y = conv(x, rbf, envelope, batch)
    filters = (conv.filter_out(shifted_softplus(conv.filter_in(rbf))) * envelope[:, None]).detach()
    expected = torch.zeros_like(x)
    for i in range(9):
        for p in range(len(d)):
            if batch.idx_i[p] == i:
                expected[i] += x[batch.idx_j[p]] * filters[p]
            elif batch.idx_j[p] == i:
                expected[i] += x[batch.idx_i[p]] * filters[p]
    torch.testing.assert_close(y, expected)


def test_energy_does_not_change_under_rotation_translation_permutation(potential):
    atoms = ethanol()
    energy, forces = energy_and_forces(potential, batch_of(atoms))
    turned = atoms.copy()
    rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    turned.positions = atoms.positions @ rotation.T + [100.0, -3.0, 7.0]
    order = np.random.default_rng(2).permutation(9)
    energy2, forces2 = energy_and_forces(potential, batch_of(turned[order]))
    assert abs(energy - energy2).item() < 1e-9
    np.testing.assert_allclose(forces2, (forces.numpy() @ rotation.T)[order], atol=1e-9)


def test_forces_are_minus_the_gradient_of_the_energy(potential):
    atoms, step = ethanol(), 1e-4
    _, forces = energy_and_forces(potential, batch_of(atoms))
    for atom, axis in [(0, 0), (2, 1), (8, 2)]:
        sides = []
        for sign in (1, -1):
            moved = atoms.copy()
            moved.positions[atom, axis] += sign * step
            sides.append(potential(batch_of(moved)).item())
        assert forces[atom, axis].item() == pytest.approx(
            -(sides[0] - sides[1]) / (2 * step), abs=1e-6
        )


def test_batched_equals_single_and_inputs_stay_as_they_were(potential):
    parts = [batch_of(a) for a in (ethanol(), molecule("H2O"), molecule("CH3OH"))]
    batch = collate(parts)
    before = batch.R.clone()
    energies, forces = energy_and_forces(potential, batch)
    singles = [energy_and_forces(potential, p) for p in parts]
    torch.testing.assert_close(energies, torch.cat([e for e, _ in singles]))
    torch.testing.assert_close(forces, torch.cat([f for _, f in singles]))
    torch.testing.assert_close(batch.R, before)
    assert not batch.R.requires_grad


def test_far_fragments_add(potential):
    a, b = ethanol(), molecule("H2O")
    far = b.copy()
    far.positions += [60.0, 0.0, 0.0]
    total = potential(batch_of(a + far)).item()
    assert total == pytest.approx(
        potential(batch_of(a)).item() + potential(batch_of(b)).item(), abs=1e-9
    )


def test_energy_is_smooth_as_a_pair_crosses_the_cutoff(potential):
    """A jump here is invisible in the dynamics of one small molecule, where no pair crosses."""
    atoms = molecule("H2O") + molecule("H2O")
    energies, forces = [], []
    for gap in TINY.cutoff + np.array([-1e-4, 0.0, 1e-4]):
        atoms.positions[3:] = molecule("H2O").positions + np.array([gap, 0, 0])
        e, f = energy_and_forces(potential, batch_of(atoms))
        energies.append(e.item())
        forces.append(f.numpy())
    steps = np.diff(energies) - [-f[3:, 0].sum() * 1e-4 for f in forces[:2]]
    assert np.abs(steps).max() < 1e-7
    assert np.abs(np.diff(forces, axis=0)).max() < 1e-3


def test_without_envelope_the_energy_jumps_at_the_cutoff():
    config = SchNetConfig(16, 16, 2, 20, cutoff=2.5, gamma=4.0, envelope="none")
    rough = potentials(config, 1, torch.float64)[0]
    atoms = molecule("H2")
    energies = []
    for d in (2.4999, 2.5001):
        atoms.positions = [[0, 0, 0], [d, 0, 0]]
        energies.append(rough(batch_of(atoms, cutoff=2.5)).item())
    assert abs(np.diff(energies)) > 1e-3


def test_isolated_atom_has_its_own_energy_and_no_force(potential):
    energy, forces = energy_and_forces(potential, batch_of(molecule("H")))
    assert np.isfinite(energy.item())
    assert forces.tolist() == [[0.0, 0.0, 0.0]]


def test_total_energy_keeps_the_grain_of_float64():
    """A shift of -4200 eV must not cost the float32 network its millielectronvolts."""
    potential = potentials(members=1, dtype=torch.float32)[0]
    atoms = ethanol()
    batch = batch_of(atoms, dtype=torch.float32)
    energy = potential(batch)
    assert energy.dtype == torch.float64
    bare = sum_per_structure(potential.schnet(batch), batch).double() * potential.scale
    shift = potential.shift[batch.Z].sum()
    assert (energy - shift - bare).abs().item() < 1e-9


def test_a_force_loss_needs_the_graph_of_the_forces(potential):
    batch = batch_of(ethanol())
    _, forces = energy_and_forces(potential, batch, create_graph=True)
    (forces**2).sum().backward()
    assert potential.schnet.interactions[0].cfconv.filter_in.weight.grad.abs().max() > 0
    _, forces = energy_and_forces(potential, batch, create_graph=False)
    assert not forces.requires_grad


def test_weights_depend_on_the_seed_alone_and_global_state_is_left_alone():
    state = torch.get_rng_state()
    before = potentials(members=1)[0].schnet.embedding.weight
    assert torch.equal(torch.get_rng_state(), state)
    torch.set_default_dtype(torch.float64)
    try:
        after = potentials(members=1)[0]
    finally:
        torch.set_default_dtype(torch.float32)
    assert after.schnet.embedding.weight.dtype == torch.float32
    assert torch.equal(before, after.schnet.embedding.weight)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cutoff": -1.0}, "cutoff must be positive"),
        ({"envelope": "step"}, "'cosine', 'mollifier', 'none'"),
    ],
)
def test_impossible_networks_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        preset("fast", **change)


def test_shift_must_cover_the_embedding():
    with pytest.raises(ValueError, match=r"expected \(100,\)"):
        Potential(TINY, np.zeros(len(ELEMENTS)), 1.0)
