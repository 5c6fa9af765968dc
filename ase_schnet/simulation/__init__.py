"""Molecular dynamics and energy scans of any ``ase.Atoms`` with any calculator.

Nothing here knows SchNet: the functions take what ASE defines and return plain arrays with
units in their names. Of this package they import `neighbors` alone.
"""
