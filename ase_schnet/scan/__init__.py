"""Scans of the potential energy surface of any atoms with any calculator.

``coordinate`` moves the atoms, ``driver`` goes from point to point, ``relax`` relaxes all other coordinates,
``reference`` reads or computes a curve to compare with. ``scan_1d`` scans one coordinate and ``scan_2d`` two.
``summary`` describes the result.
"""

from ase_schnet.scan.scan_1d import ScanResult, scan_angle, scan_dihedral, scan_distance
from ase_schnet.scan.scan_2d import ScanMap, scan_map

__all__ = ["ScanMap", "ScanResult", "scan_angle", "scan_dihedral", "scan_distance", "scan_map"]
