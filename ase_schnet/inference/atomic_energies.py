"""What an ensemble gives each atom, and each element: the parts whose sum it was trained on."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols

from ase_schnet.applicability.model import (
    require_finite,
    require_no_images,
    require_supported,
)
from ase_schnet.inference.options import EngineOptions
from ase_schnet.modelfile import TrainedModel
from ase_schnet.neighbors import half_list


@dataclass(frozen=True, eq=False)
class AtomicEnergies:
    """Hold the atomic energies of one structure of N atoms, less the offsets of the elements.

    The sum of the energies of all atoms is what a model learns; how it divides it among the atoms is its own
    choice, and members choose differently. Of a model trained on one composition the offsets are not
    determined either, only their sum: atoms of one element can be compared, those of two cannot.

    Attributes
    ----------
    energies_eV
        Mean over the members, (N,).
    std_eV
        Standard deviation of the members, ddof = 1, (N,); None for a single member.
    offsets_eV
        Mean offset of each element: symbol -> eV. Energies and offsets of all atoms sum to the energy.
    """

    energies_eV: np.ndarray
    std_eV: np.ndarray | None
    offsets_eV: dict[str, float]


def atomic_energies(
    atoms: Atoms, model: TrainedModel, options: EngineOptions | None = None
) -> AtomicEnergies:
    """Return what each atom has of the energy, less the offset of its element.

    SchNet sums atomic energies (Schütt et al., arXiv:1706.08566, Eq. 1), and the offset of an element is
    added to each. Of a model that holds the difference to a baseline, they are energies of the difference.

    Parameters
    ----------
    atoms
        The structure.
    model
        The ensemble.
    options
        Of the engine; None: the defaults.

    Raises
    ------
    InputError
        The model does not support the structure, or a position is not finite.
    AtomsCoincideError
        Two atoms are in one place.
    """
    require_supported(model, atoms, box_of_vacuum=True)
    require_finite(atoms)
    engine = EngineOptions.of(options).open(replace(model, baseline=None))
    pairs = half_list(atoms.positions, model.config["cutoff"], atoms.cell.array, atoms.pbc)
    if not model.pbc:
        require_no_images(model, atoms, pairs)
    found = engine.evaluate(atoms.numbers, atoms.positions, pairs).atomic_energies  # (M, N)
    members = found - model.energy_shift[:, atoms.numbers]
    std = members.std(axis=0, ddof=1) if model.n_members > 1 else None
    mean_offsets = model.energy_shift.mean(axis=0)
    offsets = {chemical_symbols[z]: float(mean_offsets[z]) for z in np.unique(atoms.numbers)}
    return AtomicEnergies(members.mean(axis=0), std, offsets)


@dataclass(frozen=True, eq=False)
class ElementSimilarity:
    """Hold how alike the elements of a model are to its network before it has seen any neighbour.

    Attributes
    ----------
    symbols
        The Z elements that the model was trained on.
    cosine
        Cosine of the angle between the embeddings of two elements, mean over the members, (Z, Z): 1 where
        the network begins with the same features for both, 0 where the features have nothing in common.
    std
        Standard deviation of the members, ddof = 1, (Z, Z); None for a single member.
    by_chance
        Standard deviation of `cosine` between embeddings that nothing was learnt of, which training begins
        with: 1/√(B M) for B features and M members.
    """

    symbols: list[str]
    cosine: np.ndarray
    std: np.ndarray | None
    by_chance: float


def element_similarity(model: TrainedModel) -> ElementSimilarity:
    """Return the similarity of the elements of a model, from its embeddings.

    Schütt et al., arXiv:1706.08566: of SchNets trained on many elements the embeddings order them as the
    periodic table does. A few elements give no such order, and members start from different random vectors.

    Parameters
    ----------
    model
        The ensemble.

    Raises
    ------
    ValueError
        The model knows one element only.
    """
    if len(model.elements) < 2:
        raise ValueError(
            f"the similarity of elements needs two of them, and {model.path or 'the model'} was trained on "
            f"{model.symbols[0]} alone"
        )
    vectors = model.weights["embedding.weight"][:, model.elements].astype(np.float64)  # (M, Z, B)
    vectors /= np.linalg.norm(vectors, axis=-1, keepdims=True)
    members = vectors @ vectors.swapaxes(1, 2)
    n, width = len(members), vectors.shape[2]
    std = members.std(axis=0, ddof=1) if n > 1 else None
    return ElementSimilarity(model.symbols, members.mean(axis=0), std, 1.0 / math.sqrt(width * n))
