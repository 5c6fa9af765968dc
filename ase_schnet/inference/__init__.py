"""Energies, forces and their spread from a model directory: right of the wall, no training code."""
