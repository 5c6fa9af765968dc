"""Start a training from the weights of a model instead of random ones (fine-tuning)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from ase_schnet.data.dataset import Dataset
from ase_schnet.data.statistics import LabelStatistics
from ase_schnet.model.potential import Potential
from ase_schnet.modelfile import TrainedModel
from ase_schnet.schnet_config import MAX_ELEMENTS, SchNetConfig
from ase_schnet.training.offsets import fit_offsets

#: What can be kept as it is in the model, and how the names of its weights begin.
LAYERS = {
    "embedding": "schnet.embedding.",
    "gaussians": "schnet.gaussians.",
    "interactions": "schnet.interactions.",
    "readout": "schnet.readout_",
}


@dataclass(frozen=True)
class RandomStart:
    """Hold what random weights are drawn from.

    Attributes
    ----------
    config
        Shape of the network.
    seed
        Of the weights.
    """

    config: SchNetConfig
    seed: int

    def potential(self, training: Dataset, statistics: LabelStatistics) -> Potential:
        """Return a potential with shift and scale of the labels of `training`, whose statistics are given."""
        scale = statistics.scale(np.array(training.elements))
        return Potential.create(self.config, statistics.energy_shift, scale, seed=self.seed)

    def is_frozen(self, name: str) -> bool:
        """Return False: random weights are all trained."""
        return False

    def to_dict(self) -> dict:
        """Return nothing for the checkpoint: shape and seed stand there already."""
        return {}


@dataclass(frozen=True, eq=False)
class Start:
    """Hold the model that the members of a training start from.

    Member k starts from member k of the model; where the model has fewer members, they are taken in turn.

    Attributes
    ----------
    model
        The model.
    name
        Its name or path, for the card.
    freeze
        Names of `LAYERS`, or of one block such as "interactions.0", whose weights stay as they are.
    dropout
        Share of hidden units that this training leaves out at random; None: as that of the model did.

    Raises
    ------
    ValueError
        For layers that the network does not have, and for a model that cannot be trained.
    """

    model: TrainedModel
    name: str
    freeze: tuple[str, ...] = ()
    dropout: float | None = None

    def __post_init__(self):
        known = [name for name in LAYERS if name != "gaussians" or self.config.trainable_gaussians]
        known += [f"interactions.{k}" for k in range(self.config.n_interactions)]
        for name in self.freeze:
            if name not in known:
                raise ValueError(
                    f"{self.name} has no layer {name!r} to freeze; it has {', '.join(known)}"
                )
        if self.model.element_scale is not None:
            raise ValueError(f"{self.name} has a scale for each element and cannot be trained")

    @property
    def config(self) -> SchNetConfig:
        """Shape of the network, which is the model's, and the dropout of this training."""
        network = self.model.network
        return network if self.dropout is None else replace(network, dropout=self.dropout)

    def seen(self, level_of_theory: str) -> str | None:
        """Return the structures that the model saw with labels of a level of theory, as its card keeps them.

        None if they had labels of another level, or the card does not know; see `ase_schnet.data.seen`.
        """
        own = level_of_theory == self.model.level_of_theory
        return self.model.card.get("training", {}).get("seen") if own else None

    def of_member(self, fold: int) -> MemberStart:
        """Return the start of member `fold`, counted from 0."""
        return MemberStart(self, fold % self.model.n_members)

    def to_dict(self) -> dict:
        """Return plain types, for the card."""
        return {
            "model": Path(self.name).name or self.name,  # the folder is of one machine
            "sha256": self.model.checksum,
            "freeze": list(self.freeze),
            "trained_on": self.model.trained_on,
        }


@dataclass(frozen=True, eq=False)
class MemberStart:
    """Hold the weights that one member starts from.

    Attributes
    ----------
    start
        The model.
    member
        Number of the member in it, from 0.
    """

    start: Start
    member: int

    def potential(self, training: Dataset, statistics: LabelStatistics) -> Potential:
        """Return the potential of the member, with a shift refitted to the energies of `training`.

        The scale is that of the model. The shift moves by the mean residual of the energies, per species as
        far as the compositions tell the species apart. Elements that the
        model does not know begin with that of the labels.

        Parameters
        ----------
        training
            Structures with labels.
        statistics
            Of its labels.
        """
        model = self.start.model
        known = np.isin(np.arange(MAX_ELEMENTS), model.elements)
        first = np.where(known, model.energy_shift[self.member], statistics.energy_shift)
        potential = Potential.create(
            self.start.config, first, float(model.scale[self.member]), seed=0
        )
        potential.schnet.load_state_dict(
            {name: torch.from_numpy(w[self.member].copy()) for name, w in model.weights.items()}
        )
        fit_offsets(potential, training)
        return potential

    def is_frozen(self, name: str) -> bool:
        """Say whether a parameter of the potential keeps its values."""
        return any(name.startswith(_beginning(layer)) for layer in self.start.freeze)

    def to_dict(self) -> dict:
        """Return plain types, for the checkpoint."""
        whole = self.start
        start = {"sha256": whole.model.checksum, "freeze": list(whole.freeze)}
        return {"start": {**start, "member": self.member}}


def _beginning(layer: str) -> str:
    """Return how the names of the weights of a layer begin."""
    name, _, block = layer.partition(".")
    return f"{LAYERS[name]}{block}." if block else LAYERS[name]
