"""Shapes of the network: one for each thing that a model file can say of it, and one of everything."""

from dataclasses import replace

import numpy as np
from factory import TINY

from ase_schnet.schnet_config import SchNetConfig

K = TINY.n_rbf
INCLUSIVE = np.linspace(0.0, TINY.cutoff, K)  # as other packages have them
SHAPES = {
    "other centres": replace(TINY, centres=INCLUSIVE),
    "other widths": replace(TINY, centres=INCLUSIVE, widths=np.linspace(0.2, 0.6, K)),
    "trainable": replace(TINY, trainable_gaussians=True),
    "trainable from widths": replace(
        TINY, trainable_gaussians=True, widths=np.linspace(0.2, 0.6, K)
    ),
    "mollifier": replace(TINY, envelope="mollifier"),
    "silu readout": replace(TINY, readout_activation="silu"),
    "silu": replace(TINY, activation="silu"),
    "silu everywhere": replace(TINY, activation="silu", readout_activation="silu"),
    "no hidden layer": replace(TINY, readout_widths=()),
    "wide readout": replace(TINY, readout_widths=(50,)),
    "deep readout": replace(TINY, readout_widths=(24, 40, 7), readout_activation="silu"),
    "all at once": SchNetConfig(
        13,
        10,
        n_interactions=3,
        n_rbf=9,
        cutoff=4.0,
        envelope="mollifier",
        centres=np.linspace(0.3, 4.0, 9),
        widths=np.full(9, 0.5),
        trainable_gaussians=True,
        activation="silu",
        readout_widths=(17, 5),
        readout_activation="silu",
    ),
}
#: All that training can do to a network of this package, with readouts of two hidden layers.
THINNED = replace(
    TINY,
    trainable_gaussians=True,
    widths=np.linspace(0.15, 0.4, K),
    readout_widths=(24, 7),
    dropout=0.3,
)
