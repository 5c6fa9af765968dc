"""Candidate structures of molecules and cells, from any ASE calculator; no labels.

    plan         which kinds, how many of each, and their settings
    run          starts, calculator and plan -> structures
    md, modes    moves that need the calculator: Langevin runs, normal modes
    displace, rotate, stretch, collide, crystal
                 moves that need none: each is a function of one structure and a random generator
    topology     bonds of a structure, and the pieces that a move takes along
    chunks       the work in pieces, each with random numbers of its own
    parts        finished chunks on disk, from which a stopped sampling goes on
    processes    chunks side by side
    spread       duplicates, descriptors, farthest-point selection

A move returns a new structure, or None where it is impossible or has failed.
"""
