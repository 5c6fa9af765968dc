"""Entry point of ASE's plugin system (experimental in ASE 3.29): it adds the calculator ``schnet``."""

from ase._4.plugins.plugin import CalculatorPlugin

__ase_plugins__ = {
    CalculatorPlugin(
        "schnet",
        citation="Schütt et al., arXiv:1706.08566",
        implementation="ase_schnet.calculator.SchNetCalculator",
    )
}
