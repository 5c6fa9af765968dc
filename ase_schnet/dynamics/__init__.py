"""Move the atoms with ASE: ensembles, the loop under them, and the check that energy is conserved.

    md, check, replicas, exchange
        the functions that are called: one run, with a verdict, many at once, between temperatures
    plans, ensembles, arguments
        what is asked for, and what is refused
    start, loop, recorder, turns
        the first state, sittings, samples; many runs in threads
    steps, compiled_steps, compiled
        one step with ASE, or many in compiled code
    integrators, thermostats, barostat, velocities
        ASE's dynamics, counted and resumed as they should be

CONTRIBUTING.md says which formula is where.
"""
