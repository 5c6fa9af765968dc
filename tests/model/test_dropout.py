"""Dropout in the network that is trained, against the plain network with the same units left out."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from factory import TINY, small_dataset
from shapes import THINNED
from test_tabulated import both

from ase_schnet.data.statistics import label_statistics
from ase_schnet.model.dropout import Dropout
from ase_schnet.model.potential import properties_of
from ase_schnet.model.tabulated import SPACING, Tabulated
from ase_schnet.schnet_config import PRESETS
from ase_schnet.training.batches import BatchSource
from ase_schnet.training.loss import Loss, LossWeights
from ase_schnet.training.streaming import StreamingSource

RATE = THINNED.dropout

# ---- masks -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def source():
    return BatchSource(small_dataset(9), TINY.cutoff, torch.float64)


def test_units_are_left_out_with_their_rate_and_the_mean_stays(source):
    masks = Dropout(RATE, (0, 0)).masks(PRESETS["nff"], source.batch(np.arange(9))[0])
    assert [mask.shape[1] for mask in masks] == [256, 256, 256, 32]
    for mask in masks[:3]:
        assert set(np.unique(mask)) == {0.0, 1.0 / (1.0 - RATE)}
        assert abs((mask == 0).double().mean() - RATE) < 0.02
        assert abs(mask.mean() - 1.0) < 0.03
    assert not torch.equal(masks[0], masks[1])
    assert not torch.equal(masks[0][0], masks[0][1])  # each atom has its own


def test_masks_are_those_of_the_structure_in_any_batch_and_new_in_each_epoch(source):
    """So that any number of processes, which share a batch, leave out the same units."""
    dropout = Dropout(RATE, (3, 5))
    whole, _ = source.batch(np.array([4, 1, 7]))
    parts = [source.batch(np.array(part))[0] for part in ([4, 7], [1])]
    of_whole = dropout.masks(TINY, whole)
    of_parts = [dropout.masks(TINY, part) for part in parts]
    n = np.bincount(whole.idx_m)
    for mask, first, second in zip(of_whole, *of_parts, strict=True):
        ours = torch.cat([first[: n[0]], second, first[n[0] :]])
        assert torch.equal(mask, ours)
    for key in ((3, 6), (4, 5)):
        assert not torch.equal(Dropout(RATE, key).masks(TINY, whole)[0], of_whole[0])
    streamed = StreamingSource(small_dataset(9), TINY.cutoff, torch.float64)
    batch, _ = streamed.batch(np.array([4, 1, 7]))
    assert torch.equal(dropout.masks(TINY, batch)[0], of_whole[0])


def test_a_batch_that_is_from_no_data_set_has_no_masks(source):
    with pytest.raises(ValueError, match="numbers of the structures"):
        Dropout(RATE, (0, 0)).masks(TINY, source.batch(np.arange(2))[0]._replace(structures=None))


# ---- the network that is trained ---------------------------------------------------------------


@pytest.mark.parametrize("config", [THINNED, replace(TINY, dropout=RATE, readout_widths=())])
def test_forces_and_gradients_of_the_thinned_network_are_those_of_autograd(config):
    data, dropout = small_dataset(6), Dropout(RATE, (1, 2))
    potential, tabulated, batch, labels = both(data, config)
    loss = Loss(LossWeights(energy=0.1, forces=1.0, stress=0.0), label_statistics(data))
    thinned = Tabulated(potential, tabulated.grid, dropout)
    plain = properties_of(potential, batch, create_graph=True, dropout=dropout)
    ours = thinned.properties(batch, create_graph=True)
    scale = plain.forces.abs().max()
    assert (ours.energies - plain.energies).abs().max() < 2e-6 * scale
    assert (ours.forces - plain.forces).abs().max() < 1e-5 * scale
    assert (ours.forces - tabulated.properties(batch).forces).abs().max() > 1e-2 * scale
    gradients = []
    for properties in (plain, ours):
        potential.zero_grad()
        loss.of(properties, batch, labels).backward()
        gradients.append({n: p.grad.clone() for n, p in potential.named_parameters()})
    for name, gradient in gradients[0].items():
        assert (gradients[1][name] - gradient).norm() < 1e-4 * gradient.norm() + 1e-12, name


def test_forces_are_the_slope_of_the_energy_that_has_the_same_units_left_out():
    _, tabulated, batch, _ = both(small_dataset(1), THINNED)
    tabulated.dropout = Dropout(RATE, (0, 0))
    forces, step = tabulated.properties(batch).forces, 1e-4
    energies = []
    for sign in (1, -1):
        R = batch.R.clone()
        R[3, 2] += sign * step
        energies.append(tabulated.properties(batch._replace(R=R), forces=False).energies)
    slope = (energies[0] - energies[1]) / (2 * step)
    assert abs(slope.item() + forces[3, 2].item()) < 2e-6


def test_filters_are_read_off_a_finer_grid_once_gaussians_have_become_narrow():
    data = small_dataset(4)
    potential, tabulated, batch, _ = both(data, THINNED)
    base = tabulated.grid
    assert base.refined(potential.schnet.narrowest_gaussian) is base
    with torch.no_grad():
        potential.schnet.gaussians[1].widths[5] = -0.15 / 5  # squared: the sign means nothing
    narrowest = potential.schnet.narrowest_gaussian
    assert narrowest == pytest.approx(0.03)
    expected = properties_of(potential, batch).forces
    errors = []
    for tabulated.grid in (base, base.refined(narrowest)):
        errors.append((tabulated.properties(batch).forces - expected).abs().max().item())
    assert tabulated.grid.spacing <= SPACING * narrowest < 2 * tabulated.grid.spacing
    assert errors[1] < 1e-5 * expected.abs().max()
    assert errors[0] > 10 * errors[1]
    assert base.refined(0.0).spacing == base.spacing / 16
    assert base.refined(np.nan) is base.refined(np.inf) is base
