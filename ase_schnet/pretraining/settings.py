"""The settings of a pretraining: the cheap method, how many structures of which kind, and their weights."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace

from ase_schnet.arguments import positive, temperature_of_matter, whole
from ase_schnet.data.dataset import Dataset
from ase_schnet.pretraining.given_pool import is_file, stated_method
from ase_schnet.schnet_config import SchNetConfig
from ase_schnet.training.settings import FINE_TUNING_RATE, FitSettings

#: Settings of members that learn a pool, in place of the defaults of `FitSettings` (benchmarks/defaults.md).
POOL_FIT = {"epochs": 40, "batch_size": 20, "learning_rate": 3e-4}
#: Epochs of a fit of the difference, at least and at most.
TEACHER_EPOCHS = (200, 2000)
#: Largest γ of the Gaussians of its network, Å⁻²: differences are smooth (benchmarks/teachers.md).
TEACHER_GAMMA = 1.0
#: Of the fits to the difference of two cheap methods, from which those start.
HEAD_START_FIT = {"epochs": 10, "batch_size": 10, "learning_rate": 1e-3}

_KINDS: dict[str, type] = {
    "n_thermal": int,
    "n_far": int,
    "temperature": float,
    "far_weight": float,
}
_KINDS |= {"dear_share": float, "second": str, "second_spread": float, "seed": int, "pool": str}


@dataclass(frozen=True)
class Pretraining:
    """Hold the settings of a pretraining (benchmarks/defaults.md).

    Attributes
    ----------
    reference
        The cheap method, as :func:`~ase_schnet.labelling.reference.read_reference` knows it.
    n_thermal
        Structures of its dynamics near the data.
    n_far
        Structures of hot dynamics, displacements, turned, stretched and broken bonds.
    temperature_K
        Of the runs that give `n_thermal`, K: that of the data, or of what the model is for.
    far_weight
        Weight in the loss of the structures of `n_far`; those of `n_thermal` have 1.
    dear_share
        Share of the dear structures among all that train; they are repeated for it.
    second
        Another cheap method. The networks of the difference to the dear one start from what the two cheap
        ones differ by; and where nothing but the cheap method is known, the members learn it shifted by
        multiples of that, so that their spread says how little is known. None: random weights, and no shift.
    second_spread
        Standard deviation of these multiples over the members; their mean is zero.
    teacher_steps
        Steps of a fit of the difference, for any number of dear structures.
    seed
        Of the sampling.
    pool
        File of structures that take the place of those that are sampled. Those with labels of the cheap
        method, as `ase-schnet label` writes them, are not labelled again.
    """

    reference: str
    n_thermal: int = 14_000
    n_far: int = 20_000
    temperature_K: float = 500.0
    far_weight: float = 0.05
    dear_share: float = 0.1
    second: str | None = "gfn1-xtb"
    second_spread: float = 0.35
    teacher_steps: int = 10_000
    seed: int = 0
    pool: str | None = None

    def __post_init__(self):
        whole("n_thermal", self.n_thermal, 1)
        whole("n_far", self.n_far, 1)
        whole("teacher_steps", self.teacher_steps, 1)
        positive("far_weight", self.far_weight)
        temperature_of_matter("temperature_K", self.temperature_K)
        if not 0 <= self.second_spread < math.inf:
            raise ValueError(f"second_spread must be at least 0, not {self.second_spread:g}")
        if not 0 <= self.dear_share < 1:
            raise ValueError(f"dear_share must be from 0 to below 1, not {self.dear_share:g}")

    def of_pool(self) -> dict:
        """Return what the pool and its labels depend on; the rest decides how the members learn them."""
        later = ("far_weight", "dear_share", "second_spread")
        return {name: value for name, value in self.to_dict().items() if name not in later}

    def to_dict(self) -> dict:
        """Return plain types, for the card; without steps of their own those of a version that knew none."""
        told = asdict(self)
        if self.teacher_steps == Pretraining.teacher_steps:
            told.pop("teacher_steps")
        return told


def teacher_network(config: SchNetConfig) -> SchNetConfig:
    """Return the shape of the networks of the difference: that of the members, with wide Gaussians."""
    return replace(config, gamma=min(config.gamma, TEACHER_GAMMA))


def teacher_settings(
    settings: FitSettings, dataset: Dataset, steps: int, started: bool
) -> FitSettings:
    """Return the settings of the fits of the difference: as many steps for few structures as for many."""
    batch, rate = FitSettings.batch_size, FINE_TUNING_RATE if started else FitSettings.learning_rate
    low, high = TEACHER_EPOCHS
    epochs = round(steps * batch / len(dataset))
    epochs = min(max(epochs, low), high)
    return replace(settings, epochs=epochs, batch_size=batch, learning_rate=rate)


def read_pretraining(text: str, seed: int = 0) -> Pretraining:
    """Return the settings for a text such as "gfn2-xtb, n_far=20000, temperature=500".

    Parameters
    ----------
    text
        First the cheap method, or a file of structures with its labels; then settings that differ from the
        defaults: n_thermal, n_far, temperature (K), far_weight, dear_share, second (a method, or "none"),
        second_spread, seed, pool (a file of structures).
    seed
        Of the sampling, where the text gives none.

    Raises
    ------
    ValueError
        For anything else.
    """
    reference, *rest = [part.strip() for part in text.split(",")]
    if "=" in reference:
        raise ValueError(f"{reference!r}: the cheap method comes first, then settings after commas")
    given: dict = {}
    if is_file(reference):
        given["pool"], reference = reference, stated_method(reference)
    for name, _, value in (part.partition("=") for part in rest):
        name = name.strip()
        if name not in _KINDS:
            raise ValueError(f"{name!r} is not known; known are {', '.join(_KINDS)}")
        if name in given:
            raise ValueError(f"{name} is given twice")
        try:
            given[name] = _KINDS[name](value.strip())
        except ValueError:
            what = "a whole number" if _KINDS[name] is int else "a number"
            raise ValueError(f"{name}={value.strip()!r} is not {what}") from None
    unused = [name for name in ("n_thermal", "n_far", "temperature", "seed") if name in given]
    if "pool" in given and unused:
        raise ValueError(f"{unused[0]} is for structures that are sampled, and a pool is given")
    if given.get("second") == "none":
        given["second"] = None
    if "temperature" in given:
        given["temperature_K"] = given.pop("temperature")
    return Pretraining(reference, **{"seed": seed, **given})
