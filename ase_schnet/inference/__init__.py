"""Energies, forces and their spread from a model directory: right of the wall, no training code.

    options, engine, prediction
        which engine, and what it answers
    ensemble, buffers, threads, blocks
        the compiled engine: chunks, threads, many structures at once
    kernels, loops, simd, registers
        its phases, its innermost loops, their vector instructions
    geometry, rows, arrays, tables
        pairs and forces, who is whose neighbour, weights, filters as splines
    field
        all of it for dynamics in compiled code
    compilation, compile_lock
        how numba compiles, and one process at a time
    torch_ensemble
        the network itself, for a GPU and for the tests
    repulsion
        what is added below the distances of training
    error_bars, intervals, survey, training_watch, compositions
        which structures are unlike the training
    features, atomic_energies
        a structure as a vector; what each atom has of the energy

CONTRIBUTING.md says which formula is where.
"""
