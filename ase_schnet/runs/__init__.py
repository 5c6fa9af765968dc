"""Keep a run on disk and judge it, whoever moves the atoms.

    options, identity, provenance
        what a run is told, which one may go on, what it was made with
    rundir, record, restart, exchange_log, collected
        its files
    monitor, explosion, failures
        what ends it
    drift, verdict, force_scale, timeseries
        whether it conserved its energy

CONTRIBUTING.md says which formula is where.
"""
