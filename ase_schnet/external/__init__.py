"""Answers to programs that call another one for energies and gradients."""
