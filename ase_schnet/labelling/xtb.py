"""GFN2-xTB and GFN1-xTB by tblite, which is an extra: pip install 'ase-schnet[reference]'."""

from __future__ import annotations

from ase.calculators.calculator import CalculationFailed, all_changes
from tblite.ase import TBLite

from ase_schnet.labelling.threads import one_thread
from ase_schnet.runtime.refusals import one_line


class XTBCalculator(TBLite):
    """Evaluate xTB with one thread; an SCF that does not converge is a CalculationFailed in one line."""

    def calculate(self, atoms=None, properties=None, system_changes=all_changes) -> None:
        """Compute energy (eV), forces (eV/Å) and, for a crystal, stress (eV/Å³)."""
        try:
            with one_thread("tblite"):
                super().calculate(atoms, properties or ["energy"], system_changes)
        except (RuntimeError, CalculationFailed) as error:
            self._xtb = self._res = None  # the next structure must not start from this one
            reason = one_line(error) or type(error).__name__
            raise CalculationFailed(f"{self.parameters.method}: {reason}") from None

    def forget(self) -> None:
        """Start the next SCF anew, so that its result does not depend on the structures before."""
        self.reset()
        self._res = None


def xtb_calculator(
    method: str, temperature_K: float, charge: int, multiplicity: int | None
) -> XTBCalculator:
    """Return a new calculator of one charge and multiplicity (None: the lowest).

    Parameters
    ----------
    method
        ``"GFN2-xTB"`` or ``"GFN1-xTB"``.
    temperature_K
        Electronic temperature, K.
    charge
        Total charge, e.
    multiplicity
        2S + 1.
    """
    return XTBCalculator(
        method=method,
        electronic_temperature=temperature_K,
        charge=charge,
        multiplicity=multiplicity,
        verbosity=0,
    )
