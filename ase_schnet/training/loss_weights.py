"""The weights of a loss, their defaults, and what becomes of them when units change."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ase_schnet.data.dataset import Dataset
from ase_schnet.deprecation import renamed

# standardised: a structure has one energy and 3N force components, so the gradient of the energy term is
# noise beside that of the forces. Crystals need some 0.05 (benchmarks/defaults.md). schnet: the paper's ρ
DEFAULT_ENERGY_WEIGHT = {"standardised": 0.001, "schnet": 0.01}
# standardised: more stress weight costs accuracy of the forces (benchmarks/defaults.md)
DEFAULT_STRESS_WEIGHT = {"standardised": 0.1, "schnet": 0.01}


@dataclass(frozen=True)
class LossWeights:
    """Hold the weights of the terms and the loss they belong to.

    The terms of the loss "standardised" have no units:
    energy · <(ΔE/√Σσ²)²> + forces · <(ΔF/η)²> + stress · <(V Δσ)²/Σω²>.
    Those of "schnet" are ``energy · <ΔE²> + forces · <Σ_i |ΔF_i|²/n> + stress · <|V Δσ|²/n>``; the ρ of the
    paper is energy/forces. See docs/sources.md, standardised loss and SchNet's loss.

    Attributes
    ----------
    energy
        Weight of the energies. None: DEFAULT_ENERGY_WEIGHT of the kind.
    forces
        Weight of the forces.
    kind
        "standardised" or "schnet".
    stress
        Weight of the stress. None: DEFAULT_STRESS_WEIGHT of the kind for data with stress labels and 0 for
        others; `with_defaults_for` decides.
    """

    energy: float | None = None
    forces: float = 1.0
    kind: str = "standardised"
    stress: float | None = None

    def __post_init__(self):
        if self.kind not in DEFAULT_ENERGY_WEIGHT:
            raise ValueError(f"loss must be 'standardised' or 'schnet', not {self.kind!r}")
        if self.energy is None:
            object.__setattr__(self, "energy", DEFAULT_ENERGY_WEIGHT[self.kind])
        values = (self.energy, self.forces, self.stress or 0.0)
        if not (min(values) >= 0 and 0 < sum(values) < math.inf):
            raise ValueError(
                f"loss weights must be >= 0, finite and not all zero, got energy {self.energy}, "
                f"forces {self.forces}, stress {self.stress}"
            )

    def with_defaults_for(self, dataset: Dataset) -> LossWeights:
        """Return these weights with a stress weight that suits the labels of `dataset`.

        Raises
        ------
        ValueError
            If stress has a weight but no labels at all.
        """
        if self.stress is None:
            default = DEFAULT_STRESS_WEIGHT[self.kind]
            return replace(self, stress=0.0 if dataset.stress is None else default)
        self.require_stress(dataset)
        return self

    settled = renamed(with_defaults_for, "LossWeights.settled", "LossWeights.with_defaults_for")

    def require(self, dataset: Dataset, part: str) -> None:
        """Raise ValueError when energy or forces have a weight but no labels in `dataset`.

        Parameters
        ----------
        dataset
            The structures.
        part
            Their name in the message: "training".
        """
        for name, weight, labels in (
            ("energy", self.energy, dataset.E),
            ("forces", self.forces, dataset.F),
        ):
            if weight > 0 and labels is None:
                raise ValueError(
                    f"the {part} set has no {name} labels but the {name} weight is {weight}; "
                    f"set --{name}-weight 0 or supply them"
                )

    def require_stress(self, dataset: Dataset, structures: NDArray | None = None) -> None:
        """Raise ValueError when stress has a weight but no labels in a training part.

        Parameters
        ----------
        dataset
            All structures.
        structures
            Indices of the part; None: all.
        """
        if not self.stress:
            return
        labels = dataset.stress
        if labels is not None and structures is not None:
            labels = labels[structures]
        if labels is None or np.isnan(labels).all():
            raise ValueError(
                f"the training set has no stress labels but the stress weight is {self.stress}; "
                "set --stress-weight 0 or supply them"
            )

    def to_dict(self) -> dict:
        """Return plain types, ready for JSON."""
        return asdict(self)


def effective_loss_weights(
    energy_weight: float,
    forces_weight: float,
    *,
    energy_factor: float,
    length_factor: float = 1.0,
) -> tuple[float, float]:
    """Return the weights that a squared loss really has after the units of its data were changed.

    With e → a e and F → (a/b) F the same residuals count as λ̃_E = a² λ_E, λ̃_F = (a/b)² λ_F. So only a change
    of the length unit alters the balance, and any change alters the size of the loss (docs/sources.md, units
    and transformations).

    Parameters
    ----------
    energy_weight, forces_weight
        λ_E and λ_F as set.
    energy_factor
        The number a of new energy units in an old one.
    length_factor
        The number b of new length units in an old one.

    Returns
    -------
    tuple
        λ̃_E and λ̃_F.

    Raises
    ------
    ValueError
        If a factor is not positive and finite, or a weight negative or not finite.
    """
    _check_weights(energy_weight, forces_weight, energy_factor, length_factor)
    return (
        energy_factor**2 * energy_weight,
        (energy_factor / length_factor) ** 2 * forces_weight,
    )


def equivalent_loss_weights(
    energy_weight: float,
    forces_weight: float,
    *,
    energy_factor: float,
    length_factor: float = 1.0,
    normalise: bool = False,
) -> tuple[float, float]:
    """Return the weights to set after a change of units so that training goes on as before.

    The inverse of `effective_loss_weights`: λ'_E = λ_E / a², λ'_F = λ_F b² / a². From Hartree and Bohr to
    kcal/mol and Å, weights of 0.01 and 0.99 become 0.0348 and 0.9652, normalised (docs/sources.md, units and
    transformations).

    Parameters
    ----------
    energy_weight, forces_weight
        λ_E and λ_F that were used with the old units.
    energy_factor
        The number a of new energy units in an old one (kcal/mol → Hartree: 1/627.509).
    length_factor
        The number b of new length units in an old one (Bohr → Å: 0.529177).
    normalise
        Rescale the result to λ'_E + λ'_F = λ_E + λ_F. The balance stays; the loss, and with it
        the learning rate that suits it, changes by a common factor.

    Returns
    -------
    tuple
        λ'_E and λ'_F.

    Raises
    ------
    ValueError
        If a factor is not positive and finite, or a weight negative or not finite, or if both
        weights are zero and are to be normalised.
    """
    _check_weights(energy_weight, forces_weight, energy_factor, length_factor)
    new_energy = energy_weight / energy_factor**2
    new_forces = forces_weight * (length_factor / energy_factor) ** 2
    if not normalise:
        return new_energy, new_forces
    total = new_energy + new_forces
    if total == 0.0:
        raise ValueError("both loss weights are zero: there is no ratio to keep")
    rescale = (energy_weight + forces_weight) / total
    return new_energy * rescale, new_forces * rescale


def _check_weights(
    energy_weight: float, forces_weight: float, energy_factor: float, length_factor: float
) -> None:
    for name, factor in (("energy_factor", energy_factor), ("length_factor", length_factor)):
        if not (math.isfinite(factor) and factor > 0):
            raise ValueError(f"{name} must be positive and finite, not {factor}")
    for name, weight in (("energy_weight", energy_weight), ("forces_weight", forces_weight)):
        if not (math.isfinite(weight) and weight >= 0):
            raise ValueError(f"{name} must be zero or positive and finite, not {weight}")
