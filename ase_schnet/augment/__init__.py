"""More structures where the data is thin.

    springs   distances of a thermal run -> Gaussian mixtures -> spring constants
    moves     which atoms of which structures go where: random displacements, stretched bonds
    labels    energy and forces of a moved structure from springs
    relabel   the same from a cheap reference method
    frames    moved, labelled and marked structures
    recipe    all of it as one setting of a training

Publication: papers/physics_based_augmentation.txt, "Expanding the extrapolation limits of neural network
force fields using physics-based data augmentation".
"""
