"""What the disagreement of members says of their errors, as numbers alone: no structure, no model is opened.

``committee`` has mean and standard deviation, and how well the latter predicts errors, ``bars`` the half
widths of few members, ``conformal`` intervals with a stated coverage from errors on structures that no member
saw, and ``monte_carlo_dropout`` makes an ensemble of one network. Intervals of a structure at hand, and where
there are none: :mod:`~ase_schnet.inference.error_bars`; how often they cover: :mod:`~ase_schnet.coverage`; of
observables: :mod:`~ase_schnet.propagation`.
"""

from ase_schnet.uncertainty.committee import Calibration, calibrate_std, committee_mean_std

__all__ = ["Calibration", "calibrate_std", "committee_mean_std"]
