"""The network that training differentiates, against what autograd makes of the same weights."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from ase import Atoms
from factory import TINY, labelled_crystals, potentials, preset, small_dataset

from ase_schnet.data.dataset import Dataset
from ase_schnet.data.pairs import distance_range
from ase_schnet.data.statistics import label_statistics
from ase_schnet.model.pair_loops import TAPS
from ase_schnet.model.pair_ops import Pairs, Taps, _Compiled, _Torch, contract, convolve, read
from ase_schnet.model.tabulated import FilterGrid, Tabulated
from ase_schnet.training.batches import BatchSource
from ase_schnet.training.loss import Loss, LossWeights

CONFIGS = {
    "tiny": TINY,
    "fast": preset("fast", n_atom_basis=24, n_filters=40),
    "hard": replace(TINY, envelope="none"),
}


def both(data: Dataset, config=TINY, dtype=torch.float64):
    """The plain potential, the tabulated one, and every structure of `data` in one batch."""
    potential = potentials(config, members=1, dtype=dtype)[0]
    source = BatchSource(data, config.cutoff, dtype)
    ends = distance_range(data.R, data.ptr, data.cells, data.pbc, config.cutoff)
    grid = FilterGrid(config, *ends, dtype)
    return potential, Tabulated(potential, grid), *source.batch(np.arange(len(data)))


@pytest.fixture(scope="module")
def crystals():
    return Dataset.from_atoms(labelled_crystals(6))


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_energies_forces_and_stress_are_those_of_autograd(config, crystals):
    for data in (small_dataset(8), crystals):
        potential, tabulated, batch, _ = both(data, config)
        plain = potential.properties(batch, stress=True)
        ours = tabulated.properties(batch, stress=True)
        scale = plain.forces.abs().max()
        assert (ours.energies - plain.energies).abs().max() < 1e-6 * scale
        assert (ours.forces - plain.forces).abs().max() < 5e-6 * scale
        if data is crystals:
            stress_scale = plain.stress.abs().max()
            assert (ours.stress - plain.stress).abs().max() < 5e-6 * stress_scale


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_gradients_of_the_loss_are_those_of_a_second_differentiation(dtype, crystals):
    for data in (small_dataset(8), crystals):
        potential, tabulated, batch, labels = both(data, dtype=dtype)
        loss = Loss(LossWeights(energy=0.1).with_defaults_for(data), label_statistics(data))
        gradients = []
        for model in (potential, tabulated):
            potential.zero_grad()
            loss(model, batch, labels).backward()
            gradients.append([p.grad.clone() for p in potential.parameters()])
        for plain, ours in zip(*gradients, strict=True):
            assert (ours - plain).norm() < 2e-5 * plain.norm()


def test_forces_are_minus_the_gradient_of_the_energy_but_for_the_reading_of_slopes():
    """Values and slopes are read by polynomials that meet at grid points; the kinks are below 1e-6."""
    _, tabulated, batch, _ = both(small_dataset(1))
    forces = tabulated.properties(batch).forces
    step = 1e-4
    for atom, axis in ((0, 0), (3, 2)):
        energies = []
        for sign in (1, -1):
            R = batch.R.clone()
            R[atom, axis] += sign * step
            energies.append(tabulated.properties(batch._replace(R=R), forces=False).energies)
        slope = (energies[0] - energies[1]) / (2 * step)
        assert abs(slope.item() + forces[atom, axis].item()) < 2e-6


def test_the_shortest_and_the_longest_distance_can_be_read():
    grid = FilterGrid(TINY, 1.0, 3.9, torch.float64)
    for distance in (1.0, 3.9):
        taps = grid.taps(torch.tensor([distance], dtype=torch.float64))
        assert taps.first.min() >= 0
        assert taps.first.max() + TAPS <= len(grid.rbf)
        read_value, read_slope = read(grid.rbf, taps)
        offset = distance - TINY.cutoff / TINY.n_rbf * np.arange(TINY.n_rbf)
        expected = np.exp(-TINY.gamma * offset**2)
        np.testing.assert_allclose(read_value[0], expected, atol=2e-7)
        slope = -2 * TINY.gamma * offset * expected
        np.testing.assert_allclose(read_slope[0], slope, atol=2e-5)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_loops_of_the_cpu_are_the_sums_of_the_gpu(dtype):
    rng = np.random.default_rng(0)
    n, p, f, g = 7, 30, 5, 20

    def random(*shape):
        return torch.tensor(rng.standard_normal(shape), dtype=dtype)

    pairs = Pairs(torch.tensor(rng.integers(0, n, p)), torch.tensor(rng.integers(0, n, p)))
    taps = Taps(torch.tensor(rng.integers(0, g - TAPS, p)), random(p, 2 * TAPS))
    x, y, filters, other, per_pair = (
        random(n, f),
        random(n, f),
        random(p, f),
        random(p, f),
        random(p),
    )
    calls = {
        "read": (random(g, f), taps),
        "read_back": ((g, f), taps, filters, other),
        "convolve": (x, filters, pairs),
        "products": (x, y, pairs),
        "contract": (x, y, filters, pairs),
        "contract_back": (x, y, filters, pairs, per_pair),
    }
    for name, arguments in calls.items():
        compiled = getattr(_Compiled, name)(*arguments)
        plain = getattr(_Torch, name)(*arguments)
        torch.testing.assert_close(compiled, plain, rtol=1e-5, atol=1e-5)


def test_gradients_of_features_that_are_not_contiguous():
    """A transposed array was handed to the loops as a copy, and its gradient came back as zero."""
    pairs = Pairs(torch.tensor([0, 0, 1, 3]), torch.tensor([1, 2, 2, 0]))
    generator = torch.Generator().manual_seed(0)
    arrays = [
        torch.rand(*shape, dtype=torch.float64, generator=generator).T
        for shape in ((5, 4), (5, 4), (5, 4))
    ]
    assert not arrays[0].is_contiguous()
    for function in (convolve, contract):
        used = (arrays[0], arrays[2]) if function is convolve else arrays
        gradients = []
        for made in (used, [a.contiguous() for a in used]):
            leaves = [a.detach().requires_grad_() for a in made]
            (function(*leaves, pairs) ** 2).sum().backward()
            gradients.append([leaf.grad for leaf in leaves])
        for got, expected in zip(*gradients, strict=True):
            assert expected.norm() > 0
            torch.testing.assert_close(got, expected)


def test_an_atom_by_itself_feels_nothing():
    data = Dataset.from_atoms([Atoms("H"), Atoms("O")])
    potential, tabulated, batch, _ = both(data)
    ours = tabulated.properties(batch)
    torch.testing.assert_close(ours.energies, potential.properties(batch).energies)
    assert ours.forces.abs().max() == 0


def test_energies_alone_cost_no_forces():
    _, tabulated, batch, _ = both(small_dataset(2))
    properties = tabulated.properties(batch, forces=False)
    assert properties.forces is None
    assert properties.stress is None
