"""Labels of a user's script that are in other units."""

import numpy as np
import pytest
from learning_cases import settings, water

from ase_schnet import label_structures
from ase_schnet.learning.settings import Methods
from ase_schnet.learning.trust import refuse_contradicting

pytest.importorskip("tblite", reason="tblite is not installed")
ATOMIC_UNITS = """
from ase.units import Hartree
from tblite.ase import TBLite

class Method(TBLite):
    def calculate(self, *args):
        super().calculate(*args)
        for name in ("energy", "forces"):
            self.results[name] = self.results[name] / {unit}

def method(charge=0, multiplicity=None):
    return Method(method="GFN1-xTB", verbosity=0)
"""


@pytest.mark.parametrize(("unit", "named"), [("Hartree", "Hartree/Ang"), ("1", None)])
def test_a_script_in_other_units_throughout_is_refused(tmp_path, unit, named):
    """Energies and forces in Hartree and Hartree/Å agree with each other; forces of the cheap method tell."""
    script = tmp_path / "method.py"
    script.write_text(ATOMIC_UNITS.format(unit=unit))
    asked = settings(f"{script}:method", cheap="gfn2-xtb", budget=20, start_from=None)
    methods = Methods.of(asked, periodic=False)
    rng = np.random.default_rng(0)
    frames = [water() for _ in range(20)]
    for atoms in frames:
        atoms.rattle(0.05, rng=rng)
    frames = label_structures(frames, methods.reference, jobs=1).frames
    if named is None:
        refuse_contradicting(frames, methods)
        return
    with pytest.raises(
        ValueError, match=r"0\.0\d+ times those of GFN2-xTB: they look like .*" + named
    ):
        refuse_contradicting(frames, methods)
