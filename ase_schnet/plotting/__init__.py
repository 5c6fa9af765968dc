"""All pictures of the package: functions that take arrays and records and return a Figure.

They do not use pyplot, so they need no display and do not change the caller's backend or rcParams.
"""

from ase_schnet.plotting.atoms import plot_atomic_energies
from ase_schnet.plotting.dynamics import plot_drift
from ase_schnet.plotting.elements import plot_element_similarity
from ase_schnet.plotting.exchange import plot_exchange
from ase_schnet.plotting.learning import plot_learning
from ase_schnet.plotting.live import LiveFigure
from ase_schnet.plotting.modes import plot_modes
from ase_schnet.plotting.numbers import numbers_file, save_numbers
from ase_schnet.plotting.rdf import plot_rdf
from ase_schnet.plotting.scan import plot_scan
from ase_schnet.plotting.scan_map import plot_scan_map
from ase_schnet.plotting.spectrum import plot_spectrum
from ase_schnet.plotting.springs import plot_springs
from ase_schnet.plotting.style import require_picture_name, save_figure
from ase_schnet.plotting.training import plot_learning_curves, plot_parity
from ase_schnet.plotting.tuning import plot_tuning

__all__ = [
    "LiveFigure",
    "numbers_file",
    "plot_atomic_energies",
    "plot_drift",
    "plot_element_similarity",
    "plot_exchange",
    "plot_learning",
    "plot_learning_curves",
    "plot_modes",
    "plot_parity",
    "plot_rdf",
    "plot_scan",
    "plot_scan_map",
    "plot_spectrum",
    "plot_springs",
    "plot_tuning",
    "require_picture_name",
    "save_figure",
    "save_numbers",
]
