"""Cuts through the potential energy surface of any atoms with any calculator.

``coordinate`` says what is moved (of ``fragments``), ``walk`` goes from point to point, ``relax`` lets the
rest follow, ``reference`` reads or computes what to compare with; ``curve`` is a scan along one coordinate,
``surface`` one along two.
"""

from ase_schnet.scan.scan_1d import ScanResult, scan_angle, scan_dihedral, scan_distance
from ase_schnet.scan.scan_2d import ScanMap, scan_map

__all__ = ["ScanMap", "ScanResult", "scan_angle", "scan_dihedral", "scan_distance", "scan_map"]
