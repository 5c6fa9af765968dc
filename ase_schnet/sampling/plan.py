"""What is sampled: shares of the kinds of structures, and the settings of each kind."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace

import numpy as np
from ase import Atoms

from ase_schnet.arguments import positive, temperature_of_matter, whole
from ase_schnet.sampling.topology import Topology
from ase_schnet.structures.box import without_box

#: Kinds of sampled structures, as they are named in a plan.
KINDS = (
    *("md", "displaced", "rotated", "stretched", "two stretched", "normal modes"),
    *("collision", "strained", "vacancies", "melt"),
)
#: Mixtures; that of a molecule is proven (benchmarks/defaults.md).
MOLECULE = {
    "md": 0.40,
    "displaced": 0.18,
    "rotated": 0.12,
    "stretched": 0.21,
    "two stretched": 0.09,
}
MOLECULES = {
    **{"md": 0.40, "displaced": 0.12, "rotated": 0.08, "stretched": 0.16},
    **{"two stretched": 0.07, "collision": 0.17},
}
MOLECULAR_CELL = {
    **{"md": 0.40, "displaced": 0.10, "rotated": 0.08, "stretched": 0.16},
    **{"two stretched": 0.06, "strained": 0.20},
}
CRYSTAL = {"md": 0.40, "displaced": 0.15, "strained": 0.25, "vacancies": 0.08, "melt": 0.12}
#: Temperatures of the runs, K. Bonds of a molecule survive what melts a crystal; that has its own kind.
MOLECULE_K, CRYSTAL_K = (500.0, 1000.0, 1500.0, 2500.0), (300.0, 600.0, 1000.0, 1500.0)
#: Different formulas among the starts that are looked at to find the mixture.
LOOKED_AT = 50


@dataclass(frozen=True)
class SamplingPlan:
    """Hold what is sampled.

    Attributes
    ----------
    shares
        Fraction of the structures of each kind of ``KINDS``. They add up to 1.
    temperatures_K
        Temperatures of the runs of molecular dynamics, K; each has the same number of frames.
    melt_temperature_K
        Temperature of the runs of the kind "melt", K.
    timestep_fs, interval, frames_per_run, friction_per_fs
        Of a run: timestep in fs, steps between two frames, frames, and friction of the thermostat in 1/fs.
    max_force_eV_per_Ang
        Force on an atom at which a run ends, eV/Å.
    noise_Ang
        Smallest and largest width of Gaussian displacements, Å.
    stretch_factors
        Smallest and largest new length of a bond over its length; its logarithm is uniform between.
    stretch_noise_Ang
        Likewise to ``noise_Ang``, of structures with stretched bonds and of collisions.
    contact_factors
        Smallest and largest distance of colliding atoms over the sum of their covalent radii.
    strain
        Largest strain of a cell.
    shortest
        Distance of two atoms over the sum of their covalent radii, below which a structure is dropped.
    candidates
        Structures to make, of which the most different ones are kept; None: as many as are wanted.
    """

    shares: Mapping[str, float] = field(default_factory=lambda: dict(MOLECULE))
    temperatures_K: tuple[float, ...] = MOLECULE_K
    melt_temperature_K: float = 3000.0
    timestep_fs: float = 0.5
    interval: int = 8
    frames_per_run: int = 30
    friction_per_fs: float = 0.02
    max_force_eV_per_Ang: float = 60.0
    noise_Ang: tuple[float, float] = (0.02, 0.12)
    stretch_factors: tuple[float, float] = (0.72, 3.2)
    stretch_noise_Ang: tuple[float, float] = (0.0, 0.06)
    contact_factors: tuple[float, float] = (0.9, 1.8)
    strain: float = 0.08
    shortest: float = 0.6
    candidates: int | None = None

    def __post_init__(self):
        unknown = [kind for kind in self.shares if kind not in KINDS]
        if unknown:
            raise ValueError(f"no kind {unknown[0]!r}: known are {', '.join(KINDS)}")
        for kind, share in self.shares.items():
            if not 0 <= share <= 1:
                raise ValueError(f"the share of {kind} must be from 0 to 1, not {share:g}")
        if abs(sum(self.shares.values()) - 1) > 1e-6:
            raise ValueError(f"shares must add up to 1, not {sum(self.shares.values()):g}")
        if not self.temperatures_K:
            raise ValueError("temperatures_K must hold at least one temperature")
        for kelvin in self.temperatures_K:
            temperature_of_matter("temperatures_K", kelvin)
        if len({f"{kelvin:g}" for kelvin in self.temperatures_K}) < len(self.temperatures_K):
            raise ValueError(f"temperatures_K names one twice: {self.temperatures_K}")
        temperature_of_matter("melt_temperature_K", self.melt_temperature_K)
        for name in ("timestep_fs", "friction_per_fs", "max_force_eV_per_Ang"):
            positive(name, getattr(self, name))
        for name in ("interval", "frames_per_run"):
            whole(name, getattr(self, name), 1)
        for name in ("noise_Ang", "stretch_noise_Ang"):
            _require_range(name, getattr(self, name), 0)
        for name in ("stretch_factors", "contact_factors"):
            _require_range(name, getattr(self, name), 1e-3)
        for name in ("strain", "shortest"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be from 0 to below 1, not {getattr(self, name):g}")

    @classmethod
    def for_starts(cls, starts: Sequence[Atoms], **settings) -> SamplingPlan:
        """Return the default plan for some structures, with other settings where they are given.

        Parameters
        ----------
        starts
            Molecules or cells.
        **settings
            Attributes of the plan, other than ``shares``.

        Raises
        ------
        ValueError
            If there are molecules and cells, and for impossible settings.
        """
        periodic = {bool(atoms.pbc.any()) for atoms in starts}
        if len(periodic) > 1:
            raise ValueError(
                "some starts are molecules and some are cells: sample them one after the other"
            )
        looked_at = {atoms.symbols.formula.format("hill"): atoms for atoms in starts[::-1]}
        shown = list(looked_at.values())[-LOOKED_AT:]
        topologies = [Topology(atoms) for atoms in shown]
        if True not in periodic:
            several = any(len(t.molecules()) > 1 for t in topologies)
            mixture = MOLECULES if several else MOLECULE
        else:
            crystal = any(_is_network(atoms) for atoms in shown)
            mixture = CRYSTAL if crystal else MOLECULAR_CELL
        if mixture is CRYSTAL:
            settings = {"temperatures_K": CRYSTAL_K, **settings}
        return cls(shares=_possible(mixture, shown, topologies), **settings)

    def with_shares(self, given: Mapping[str, float]) -> SamplingPlan:
        """Return the plan with other shares of some kinds; the other kinds divide the rest as before."""
        rest = 1 - sum(given.values())
        others = {kind: share for kind, share in self.shares.items() if kind not in given}
        total = sum(others.values())
        if rest < -1e-6:
            raise ValueError(f"shares must not add up to more than 1: {sum(given.values()):g}")
        if rest > 1e-6 and not total:
            raise ValueError(f"shares must add up to 1, not {sum(given.values()):g}")
        scaled = {kind: share * max(rest, 0) / total for kind, share in others.items() if total}
        return replace(self, shares={**scaled, **given})

    def to_dict(self) -> dict:
        """Return plain types, for files."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in asdict(self).items()
        }


def _require_range(name: str, values: Sequence[float], smallest: float) -> None:
    if len(values) != 2 or not smallest <= values[0] <= values[1] < math.inf:
        raise ValueError(
            f"{name} must be two numbers from {smallest:g} on, the smaller first, not {values}"
        )


def _possible(
    mixture: Mapping[str, float], shown: Sequence[Atoms], topologies: Sequence[Topology]
) -> dict[str, float]:
    """Give the shares of kinds that are impossible for all these structures to a simpler kind."""
    shares = dict(mixture)
    bonds = max(len(t.bonds) for t in topologies)
    if bonds < 2:
        shares["stretched"] = shares.get("stretched", 0) + shares.pop("two stretched", 0)
    missing = [] if bonds else ["stretched"]
    if not any(t.rotatable for t in topologies):
        missing.append("rotated")
    if max(len(atoms) for atoms in shown) < 8:
        missing.append("vacancies")
    for kind in missing:
        shares["displaced"] = shares.get("displaced", 0) + shares.pop(kind, 0)
    return shares


def _is_network(atoms: Atoms) -> bool:
    """Return whether bonds go on from one periodic image to the next."""
    try:
        without_box(atoms)
    except ValueError:
        return True
    return len(atoms) == 1 or not np.any(Topology(atoms).bonds)
