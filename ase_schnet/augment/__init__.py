"""More structures where there are few data.

    springs   distances of a thermal run -> Gaussian mixtures -> spring constants
    moves     displacements of atoms: random ones, and stretched bonds
    labels    energy and forces of a moved structure from springs
    relabel   the same from a cheap reference method
    frames    moved, labelled and marked structures
    settings  all of it as one setting of a training

The method is that of "Expanding the extrapolation limits of neural network force fields using physics-based
data augmentation" (https://openreview.net/forum?id=AekO4y6kiEs; docs/sources.md, springs).
"""
