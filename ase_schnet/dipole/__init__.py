"""Vectors and tensors of a molecule, dipole and polarizability: rotate, predict, rotate back."""
