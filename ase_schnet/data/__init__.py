"""Read labelled structures from files into package units; pack, check and divide them.

    formats
        a file in any format becomes structures with labels, or a data set
    _npz, _hdf5, _layouts, _qm9, _ase_db, _ase_files, _deepmd
        readers, which return contents in the units of the file
    _file, _labels, _candidates
        these contents; labels by their names; what looks like one
    _conversion, _sanity_checks, _stress_checks
        units settled and converted; labels that cannot be
    frame, packing, dataset, npz_frames
        one structure, many as packed arrays, npz files frame by frame
    pairs, statistics, rescaling
        of a data set: pairs of atoms, shift and scale, other units
    outliers, contradictions, agreement, _work
        labels that are wrong, or contradict each other
    splits, seen, augmented
        folds; structures that a model has seen; those that are not true ones

CONTRIBUTING.md says which formula is where.
"""
