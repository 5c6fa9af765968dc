"""Keep the old path of ``ase_schnet.uncertainty.conformal`` until version 0.3."""

from ase_schnet.deprecation import Moved

__getattr__ = Moved(__name__, "ase_schnet.uncertainty.conformal")
