"""Shift and scale energies and positions, and the forces that belong to them.

With E' = (E − μ_E)/σ_E and r' = r/σ_p, F = −∇E becomes F' = (σ_p/σ_E) F: three labels, but two scales. A
change of units is the same with μ_E = 0 (docs/sources.md, units and transformations).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ase_schnet.arguments import positive
from ase_schnet.data.dataset import Dataset
from ase_schnet.schnet_config import SchNetConfig
from ase_schnet.units import FileUnits


@dataclass(frozen=True)
class Rescaling:
    """Hold a shift and a scale of energies and a scale of lengths.

    Positions need no shift: a network sees distances. The inverse scales are the factors a and b of
    `equivalent_loss_weights`.

    Attributes
    ----------
    energy_scale
        σ_E, eV.
    length_scale
        σ_p, Å: one number for all axes.
    energy_shift
        μ_E, eV per structure.

    Raises
    ------
    ValueError
        If a scale is not one positive number. A length for each axis is refused, although it keeps
        F' = (σ_p/σ_E) F when the product is taken by components: distances would then depend on how a
        structure is turned, and with them the energy.
    """

    energy_scale: float
    length_scale: float
    energy_shift: float = 0.0

    def __post_init__(self):
        if np.ndim(self.length_scale):
            raise ValueError(
                f"length_scale must be one number for all axes, not {np.size(self.length_scale)}: with a "
                "scale for each axis distances change when a structure is turned, so that the energy is not "
                "invariant under rotation"
            )
        for name in ("energy_scale", "length_scale"):
            object.__setattr__(self, name, positive(name, getattr(self, name)))

    @classmethod
    def to_units(cls, units: FileUnits) -> Rescaling:
        """Return the change from eV and Å to other units of energy and length."""
        return cls(units.energy_to_eV, units.length_to_Ang)

    @classmethod
    def standardising(cls, training: Dataset) -> Rescaling:
        """Return what gives energies mean 0 and variance 1, and positions variance 1, in a training set.

        The positions of each structure count from its own centre, and all three axes together: so σ_p does
        not depend on where a structure lies and how it is turned.

        Parameters
        ----------
        training
            Structures with energies; not the test set, whose labels would leak into the model.

        Raises
        ------
        ValueError
            If there are no energies, or energies or positions have no spread.
        """
        if training.E is None:
            raise ValueError("the data set has no energies: their mean and spread are not known")
        of_atom = np.repeat(np.arange(len(training)), training.n_atoms)
        sums = np.zeros((len(training), 3))
        np.add.at(sums, of_atom, training.R)
        centred = training.R - (sums / training.n_atoms[:, None])[of_atom]  # (N, 3) Å
        spread = float(training.E.std()), float(np.sqrt((centred**2).mean()))
        return cls(*spread, energy_shift=float(training.E.mean()))

    @property
    def forces_factor(self) -> float:
        """Return σ_p/σ_E in Å/eV, the number of new units of force in 1 eV/Å."""
        return self.length_scale / self.energy_scale

    def apply(self, dataset: Dataset) -> Dataset:
        """Return a data set with its numbers rescaled; their names keep eV and Å, which they no longer are.

        Positions and cells are divided by σ_p, energies shifted and divided by σ_E, forces multiplied by
        σ_p/σ_E, stresses by σ_p³/σ_E, dipoles divided by σ_p, polarizabilities multiplied by σ_E/σ_p².
        """
        energy, length = self.energy_scale, self.length_scale
        factors = {
            "R": 1 / length,
            "cells": 1 / length,
            "F": self.forces_factor,
            "stress": length**3 / energy,
            "dipole": 1 / length,
            "polarizability": energy / length**2,
        }
        new: dict[str, NDArray] = {
            name: factor * getattr(dataset, name)
            for name, factor in factors.items()
            if getattr(dataset, name) is not None
        }
        if dataset.E is not None:
            new["E"] = (dataset.E - self.energy_shift) / energy
        return replace(dataset, units=f"{energy:g} eV, {length:g} Ang", **new)

    def network(self, config: SchNetConfig) -> SchNetConfig:
        """Return a network that sees rescaled distances as `config` sees those in Å.

        Cutoff, centres and widths of the Gaussians are divided by σ_p, γ is multiplied by σ_p².
        """
        length = self.length_scale
        lists = {"centres": config.centres, "widths": config.widths}
        return replace(
            config,
            cutoff=config.cutoff / length,
            gamma=config.gamma * length**2,
            **{k: tuple(x / length for x in v) for k, v in lists.items() if v is not None},
        )
