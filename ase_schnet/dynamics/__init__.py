"""Move the atoms with ASE: ensembles, the loop under them, and the check that energy is conserved."""
