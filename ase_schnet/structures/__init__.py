"""Structures from files: every format that ASE knows, and what its readers refuse or misread of xyz files.

A floor below all else, so that training data and the structures of `md`, `scan`, `spectrum` and `lammps` are
read by the same code.
"""
