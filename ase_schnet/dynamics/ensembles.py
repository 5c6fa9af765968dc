"""Which options of a run belong to which ensembles: one table for Python, LAMMPS and the command line."""

ENSEMBLES = ("nve", "nvt", "npt")
#: Ensembles to which an option applies; options that are not named apply to all.
ENSEMBLES_OF_OPTION = {
    "temperature_end_K": ("nvt",),
    "thermostat": ("nvt",),
    "time_constant_fs": ("nvt", "npt"),
    "pressure_GPa": ("npt",),
    "pressure_time_constant_fs": ("npt",),
    "full_cell": ("npt",),
}


def refuse_options_of_other_ensembles(ensemble: str, **options: object) -> None:
    """Refuse options that an ensemble would ignore: whoever gives one has misunderstood something.

    Parameters
    ----------
    ensemble
        "nve", "nvt" or "npt".
    **options
        Values by name; None and False stand for options that are not given.

    Raises
    ------
    ValueError
        For another ensemble, and for an option that does not apply to this one.
    """
    if ensemble not in ENSEMBLES:
        raise ValueError(f"no ensemble {ensemble!r}: choose one of {', '.join(ENSEMBLES)}")
    for name, value in options.items():
        allowed = ENSEMBLES_OF_OPTION.get(name, ENSEMBLES)
        if value is not None and value is not False and ensemble not in allowed:
            wanted = " or ".join(f"ensemble={other!r}" for other in allowed)
            raise ValueError(f"{name}= applies to {wanted} only, not to {ensemble!r}")
