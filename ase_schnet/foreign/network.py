"""SchNets of another package in the terms of ours, and as the members of one of our models.

What differs between packages is settled here once: Gaussians that are others in each block, hidden layers of
filters that are narrower or wider than the filters, atomic numbers that an embedding does not have, units.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ase_schnet.foreign.records import ForeignModelError
from ase_schnet.schnet_config import MAX_ELEMENTS, SchNetConfig
from ase_schnet.units import ENERGY_UNITS, LENGTH_UNITS, FileUnits


@dataclass(frozen=True, eq=False)
class Dense:
    """Hold a dense layer x Wᵀ + b: weight (out, in) and bias (out,)."""

    weight: NDArray
    bias: NDArray

    def padded(self, n_out: int, n_in: int) -> Dense:
        """Return the layer with zeros up to these widths."""
        out, into = self.weight.shape
        weight = np.pad(self.weight, ((0, n_out - out), (0, n_in - into)))
        return Dense(weight, np.pad(self.bias, (0, n_out - out)))


@dataclass(frozen=True, eq=False)
class Block:
    """Hold an interaction block.

    Attributes
    ----------
    into, mid, out
        Atom-wise layers before the convolution, behind it, and behind the activation.
    filter_in, filter_out
        Layers from the Gaussians to the filters.
    centres, widths
        μ_k and σ_k of its Gaussians exp(−(d − μ_k)² / 2σ_k²), (K,), in the file's unit of length.
    """

    into: Dense
    filter_in: Dense
    filter_out: Dense
    mid: Dense
    out: Dense
    centres: NDArray
    widths: NDArray


@dataclass(frozen=True, eq=False)
class ForeignNetwork:
    """Hold a trained SchNet of another package, in the units of its file.

    The energy is Σ_i (element_scale[Z_i] · scale · ε_i + shift[Z_i]), with ε_i of the last readout layer.

    Attributes
    ----------
    origin
        Package and version, such as "schnetpack 2.2.0".
    embedding
        (Z, B): features by atomic number.
    blocks
        Interaction blocks.
    readout
        Layers from the last features to ε.
    cutoff
        In the file's unit of length.
    envelope, activation, readout_activation
        As in :class:`SchNetConfig`.
    scale
        Factor on ε.
    shift
        (Z,), or a number for all elements.
    element_scale
        (Z,); None: 1 for all.
    elements
        Atomic numbers that the file says it was trained on; None: it does not say.
    units
        Units that the file, or one beside it, says; None: it does not say.
    remarks
        What a user should know, one sentence each.
    has_pair_list
        Whether `ConversionHints.pair_list` says what function it is.
    """

    origin: str
    embedding: NDArray
    blocks: tuple[Block, ...]
    readout: tuple[Dense, ...]
    cutoff: float
    envelope: str
    activation: str = "ssp"
    readout_activation: str = "ssp"
    scale: float = 1.0
    shift: NDArray | float = 0.0
    element_scale: NDArray | None = None
    elements: tuple[int, ...] | None = None
    units: FileUnits | None = None
    remarks: tuple[str, ...] = ()
    has_pair_list: bool = False


@dataclass(frozen=True, eq=False)
class Assembled:
    """Hold M networks as one of our models: what :class:`TrainedModel` has of the same names.

    Attributes
    ----------
    is_rounded
        Whether there are weights that float32, which a model file has, does not hold to the last bit.
    """

    config: SchNetConfig
    weights: dict[str, NDArray]
    energy_shift: NDArray
    scale: NDArray
    element_scale: NDArray | None
    is_rounded: bool


def assembled(networks: list[ForeignNetwork], units: FileUnits) -> Assembled:
    """Return networks of one shape as an ensemble, in eV and Å.

    Raises
    ------
    ForeignModelError
        If their shapes differ, or the layers of one contradict each other.
    """
    shapes = [_shape(network) for network in networks]
    for name, value in shapes[0].items():
        others = {str(shape[name]) for shape in shapes}
        if len(others) > 1:
            raise ForeignModelError(
                f"the networks have {name} {value!s} and {(others - {str(value)}).pop()}: members of an "
                "ensemble have one shape"
            )
    energy, length = ENERGY_UNITS[units.energy], LENGTH_UNITS[units.length]
    gaussians, tensors, places = _gaussians(networks, length)
    config = SchNetConfig(
        **{k: v for k, v in shapes[0].items() if k != "cutoff"},
        cutoff=networks[0].cutoff * length,
        **gaussians,
    )
    members = [
        _tensors(network, config, places[m]) | tensors[m] for m, network in enumerate(networks)
    ]
    _require_shapes(networks[0], members[0], config)
    exact = {
        name: np.stack([member[name] for member in members]) for name in config.weight_shapes()
    }
    weights = {name: array.astype(np.float32) for name, array in exact.items()}
    factors = [network.element_scale for network in networks]
    return Assembled(
        config=config,
        weights=weights,
        energy_shift=np.stack([_rows(network.shift) * energy for network in networks]),
        scale=np.array([network.scale * energy for network in networks]),
        element_scale=None
        if all(factor is None for factor in factors)
        else np.stack([_rows(1.0 if factor is None else factor) for factor in factors]),
        is_rounded=any((weights[name] != exact[name]).any() for name in exact),
    )


def _shape(network: ForeignNetwork) -> dict:
    """Return what members must have in common, by the names of :class:`SchNetConfig`."""
    return {
        "n_atom_basis": network.embedding.shape[1],
        # hidden layers of filters that are wider than the filters: filters of zeros are added
        "n_filters": max(max(block.filter_out.weight.shape) for block in network.blocks),
        "n_interactions": len(network.blocks),
        "cutoff": network.cutoff,
        "envelope": network.envelope,
        "activation": network.activation,
        "readout_widths": tuple(len(layer.bias) for layer in network.readout[:-1]),
        "readout_activation": network.readout_activation,
    }


def _gaussians(
    networks: list[ForeignNetwork], length: float
) -> tuple[dict, list[dict[str, NDArray]], list[list[slice]]]:
    """Return fields of the config, tensors of each member, and which Gaussians each block has.

    One set serves all blocks where they agree. Where they differ, they are weights of our trainable kind, if
    float32 holds them to the last bit; else the config lists the Gaussians of all blocks, of which each block
    has its own, with weights of zero for the others. Filters are tabulated, so that costs nothing.
    """
    blocks = [block for network in networks for block in network.blocks]
    first = blocks[0]
    n_rbf, per = len(first.centres), len(networks[0].blocks)
    same = all(
        np.array_equal(block.centres, first.centres) and np.array_equal(block.widths, first.widths)
        for block in blocks
    )
    if same:
        fields = {"centres": first.centres * length, "widths": np.abs(first.widths) * length}
        own = [[slice(0, n_rbf)] * per for _ in networks]
        return {"n_rbf": n_rbf, **fields}, [{} for _ in networks], own
    numbers = [np.concatenate([block.centres, block.widths]) for block in blocks]
    alike = all(len(each) == 2 * n_rbf for each in numbers)
    if length == 1.0 and alike and all((each.astype(np.float32) == each).all() for each in numbers):
        tensors = [
            {
                f"gaussians.{t}.{name}": getattr(block, name)
                for t, block in enumerate(network.blocks)
                for name in ("centres", "widths")
            }
            for network in networks
        ]
        own = [[slice(0, n_rbf)] * per for _ in networks]
        return {"n_rbf": n_rbf, "trainable_gaussians": True}, tensors, own
    ends = np.cumsum([len(block.centres) for block in blocks]).tolist()
    places = [slice(end - len(b.centres), end) for end, b in zip(ends, blocks, strict=True)]
    fields = {
        "centres": np.concatenate([block.centres for block in blocks]) * length,
        "widths": np.abs(np.concatenate([block.widths for block in blocks])) * length,
    }
    own = [places[m * per : (m + 1) * per] for m in range(len(networks))]
    return {"n_rbf": ends[-1], **fields}, [{} for _ in networks], own


def _tensors(
    network: ForeignNetwork, config: SchNetConfig, places: list[slice]
) -> dict[str, NDArray]:
    """Return the weights of a network by our names, float64; `places` are the Gaussians of its blocks."""
    n, basis = config.n_filters, config.n_atom_basis
    layers: dict[str, Dense] = {}
    for t, (block, place) in enumerate(zip(network.blocks, places, strict=True)):
        weight = np.zeros((len(block.filter_in.weight), config.n_rbf))
        weight[:, place] = block.filter_in.weight
        before = f"interactions.{t}."
        layers[f"{before}atomwise_in"] = block.into.padded(n, basis)
        layers[f"{before}cfconv.filter_in"] = Dense(weight, block.filter_in.bias).padded(
            n, config.n_rbf
        )
        layers[f"{before}cfconv.filter_out"] = block.filter_out.padded(n, n)
        layers[f"{before}atomwise_mid"] = block.mid.padded(basis, n)
        layers[f"{before}atomwise_out"] = block.out
    layers |= dict(zip(config.readout_layers, network.readout, strict=True))
    tensors = {"embedding.weight": _rows(network.embedding)}
    for name, layer in layers.items():
        tensors |= {f"{name}.weight": layer.weight, f"{name}.bias": layer.bias}
    return tensors


def _rows(values: NDArray | float) -> NDArray:
    """Return values by atomic number for as many elements as our models have, zeros beyond those there."""
    if np.size(values) == 1:
        return np.full(MAX_ELEMENTS, float(np.reshape(values, ())))
    rows = np.zeros((MAX_ELEMENTS, *np.shape(values)[1:]))
    known = min(MAX_ELEMENTS, len(values))
    rows[:known] = values[:known]
    return rows


def _require_shapes(network: ForeignNetwork, tensors: dict, config: SchNetConfig) -> None:
    """Refuse layers that do not fit each other."""
    for name, shape in config.weight_shapes().items():
        if tensors[name].shape != shape:
            raise ForeignModelError(
                f"{network.origin}: {name} has the shape {tensors[name].shape} where a SchNet of these "
                f"widths has {shape}"
            )
