"""Networks with hidden units left out at random: Monte Carlo dropout as an ensemble.

Y. Gal and Z. Ghahramani, arXiv:1506.02142: the networks that dropout trains are samples of a distribution
over weights, and what they disagree about is an uncertainty. A unit that is left out is a column of zeros in
the matrix behind it, so a sample is a network as any other: every engine evaluates it, its energy is a smooth
function of the positions, and its forces are the slope of it. All atoms have the same units left out, since
they share the weights (arXiv:1512.05287 says why, of steps in time); training draws them for each atom anew.
benchmarks/uncertainty.md holds it against an ensemble of networks that were trained apart.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ase_schnet.trained_model import TrainedModel


def dropout_samples(
    model: TrainedModel, n_samples: int = 20, *, member: int = 0, seed: int = 0
) -> TrainedModel:
    """Return an ensemble of `n_samples` networks, each one member with other hidden units left out.

    Parameters
    ----------
    model
        A model that was trained with dropout.
    n_samples
        Number of networks.
    member
        Number of the member that is thinned, from 0.
    seed
        Of the units that are left out.

    Returns
    -------
    TrainedModel
        Its card has no calibration, no error bars and no ``self_check``: those are of the whole model.

    Raises
    ------
    ValueError
        If the model was trained without dropout, has no such member, or `n_samples` is not positive.
    """
    config, rate = model.network, model.network.dropout
    if rate == 0:
        raise ValueError(f"{model.path or 'the model'} was trained without dropout")
    if not 0 <= member < model.n_members:
        raise ValueError(f"there are members 0 to {model.n_members - 1}, not {member}")
    if n_samples < 1:
        raise ValueError(f"n_samples must be at least 1, got {n_samples}")
    whole = model.member(member)
    rng = np.random.default_rng(seed)
    weights = {name: np.repeat(w, n_samples, axis=0) for name, w in whole.weights.items()}
    thinned = [f"interactions.{t}.atomwise_out" for t in range(config.n_interactions)]
    thinned += config.readout_layers[1:]  # the first one reads features, which are all there
    for layer in thinned:
        columns = weights[f"{layer}.weight"]  # (n_samples, out, in)
        kept = rng.random((n_samples, 1, columns.shape[2])) >= rate
        weights[f"{layer}.weight"] = (columns * kept / (1.0 - rate)).astype(columns.dtype)
    of_the_whole = ("calibration", "intervals")
    return replace(
        whole,
        config=replace(config, dropout=0.0).to_dict(),
        energy_shift=np.repeat(whole.energy_shift, n_samples, axis=0),
        scale=np.repeat(whole.scale, n_samples),
        weights=weights,
        element_scale=None
        if whole.element_scale is None
        else np.repeat(whole.element_scale, n_samples, axis=0),
        card={name: value for name, value in whole.card.items() if name not in of_the_whole},
    )
