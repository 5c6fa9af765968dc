"""What the engine of a model runs with, the same for the calculator and for LAMMPS."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields

from ase_schnet.inference.engine import open_engine
from ase_schnet.inference.repulsion import DEFAULT_REPULSION
from ase_schnet.modelfile import TrainedModel


@dataclass(frozen=True)
class EngineOptions:
    """Hold the options of an engine: device, precision, threads, repulsion and skin.

    Attributes
    ----------
    device
        ``"cpu"`` (compiled, without torch), ``"cuda"``, ``"cuda:1"``, or ``"auto"``: a GPU where torch
        finds one. LAMMPS runs on the CPU alone.
    dtype
        ``"float64"`` or ``"float32"``: the precision of the network.
    threads
        Largest number of threads for a large structure. None: ``OMP_NUM_THREADS`` where it is set, else one
        per core; under LAMMPS with several processes, one.
    repulsion
        ``"zbl"`` lets atoms repel each other below the shortest distances of the training data. None: no
        repulsion is added.
    skin
        Distance in Å that is added to the cutoff of the neighbour list. The list is kept until an atom has
        moved half of it. None: 0.5 Å in ASE, 1.5 Å in LAMMPS.

    Raises
    ------
    ValueError
        The skin is negative or not finite.
    """

    device: str = "cpu"
    dtype: str = "float64"
    threads: int | None = None
    repulsion: str | None = DEFAULT_REPULSION
    skin: float | None = None

    def __post_init__(self):
        if self.skin is not None and not 0 <= self.skin < math.inf:
            raise ValueError(f"skin must be >= 0 Å and finite, got {self.skin}")

    @classmethod
    def of(cls, options: EngineOptions | Mapping | None) -> EngineOptions:
        """Return the options themselves, or those that a mapping names; None gives the defaults.

        Raises
        ------
        ValueError
            The mapping has a name that is no option.
        """
        if isinstance(options, EngineOptions):
            return options
        known = [field.name for field in fields(cls)]
        unknown = [name for name in options or () if name not in known]
        if unknown:
            raise ValueError(
                f"unknown engine option {', '.join(unknown)}: the options are {', '.join(known)}"
            )
        return cls(**(options or {}))

    def open(self, model: TrainedModel):
        """Return the engine that evaluates `model` with these options."""
        return open_engine(model, self.device, self.dtype, self.threads, self.repulsion)
