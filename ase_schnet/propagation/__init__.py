"""Error bars of what is computed with an ensemble: from its members' own calculations, or from one run.

``spread`` is the one function; ``members`` opens each member as a calculator of its own, ``frames`` reads a
run, ``cumulant`` expands its averages, ``harmonic`` does it for normal modes, ``observables`` has some
functions of a frame, ``result`` is what comes out, and ``summary`` says what normal modes come to.
"""

from ase_schnet.propagation.harmonic import HarmonicSpread, harmonic_spread
from ase_schnet.propagation.members import member_calculators
from ase_schnet.propagation.observables import bin_centres, density, rdf, volume
from ase_schnet.propagation.result import Sampling, Spread
from ase_schnet.propagation.spread import spread

__all__ = [
    "HarmonicSpread",
    "Sampling",
    "Spread",
    "bin_centres",
    "density",
    "harmonic_spread",
    "member_calculators",
    "rdf",
    "spread",
    "volume",
]
