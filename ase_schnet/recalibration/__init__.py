"""Error bars of a finished model, and members that disagree as much as they err."""

from ase_schnet.recalibration.intervals import calibrate_intervals as calibrate_intervals
from ase_schnet.recalibration.intervals import (
    errors_of_something_else as errors_of_something_else,
)
