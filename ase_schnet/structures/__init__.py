"""Read structures from files: every format that ASE knows, and xyz files that its readers refuse or misread.

Training data and the structures of `md`, `scan`, `spectrum` and `lammps` are read by the same code.
"""
