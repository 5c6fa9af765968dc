"""GFN2-xTB by tblite, the cheap reference of delta-labelling; an extra: pip install ase-schnet[reference]."""

from tblite.ase import TBLite

#: Bonds break into radicals only with fractional occupations. 5000 K is the usual choice for those (Grimme &
#: Hansen 2015, doi:10.1002/anie.201501887; benchmarks/defaults.md).
ELECTRONIC_TEMPERATURE_K = 5000.0


def reference() -> TBLite:
    """Return the calculator, for neutral molecules."""
    return TBLite(method="GFN2-xTB", electronic_temperature=ELECTRONIC_TEMPERATURE_K, verbosity=0)
