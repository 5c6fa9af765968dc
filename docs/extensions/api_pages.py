"""Write the reference of the public names: one page for each, from its docstring."""

from __future__ import annotations

import inspect

import ase_schnet

#: Room of the house -> heading. A room that is not here is listed under its own name.
ROOMS = {
    "Calculators": ("calculator", "delta_calculator", "inference", "applicability", "predictions"),
    "Dynamics": ("dynamics", "runs", "lammps"),
    "Scans": ("scan",),
    "Vibrations and spectra": ("spectra",),
    "Dipoles and polarizabilities": ("dipole",),
    "Uncertainty": ("uncertainty", "recalibration", "propagation"),
    "Models": ("modelfile", "schnet_config", "export", "foreign"),
    "Reports and pictures": ("report", "plotting"),
    "Data": ("data", "units"),
    "Training": ("training", "pretraining", "augment", "tuning"),
    "Sampling, labelling, learning": ("learning", "labelling", "sampling"),
}


def grouped() -> dict[str, list[str]]:
    """Return every public name under the heading of its room."""
    title_of = {room: title for title, rooms in ROOMS.items() for room in rooms}
    groups: dict[str, list[str]] = {title: [] for title in ROOMS}
    for name, module in ase_schnet._HOME.items():
        room = module.split(".")[0]
        groups.setdefault(title_of.get(room, room.replace("_", " ").capitalize()), []).append(name)
    return {title: names for title, names in groups.items() if names}


def first_sentence(name: str) -> str:
    """Return what a name is for, in one line."""
    value = getattr(ase_schnet, name)
    if _is_data(name):
        return f"{', '.join(value)}." if isinstance(value, dict) else "A value, see its page."
    return (inspect.getdoc(getattr(ase_schnet, name)) or "").split("\n\n")[0].replace("\n", " ")


def index_page() -> str:
    """Return the page that lists all names, as reStructuredText."""
    title = "Python"
    lines = [
        *(title, "=" * len(title), ""),
        "All public names are imported from ``ase_schnet``. Energies are in eV, lengths in Å, forces in",
        "eV/Å, stresses in eV/Å³, dipoles in e·Å, masses in amu, times in fs or ps and temperatures in K;",
        "arguments have the unit in their names.",
        "",
    ]
    for heading, names in grouped().items():
        lines += [heading, "-" * len(heading), "", ".. list-table::", "   :widths: 30 70", ""]
        for name in names:
            lines += [f"   * - :doc:`{name}`", f"     - {first_sentence(name)}"]
        lines.append("")
    lines += [".. toctree::", "   :hidden:", ""]
    lines += [f"   {name}" for names in grouped().values() for name in names]
    return "\n".join([*lines, ""])


def name_page(name: str, used_in: str) -> str:
    """Return the page of one name, as reStructuredText; `used_in` are links to where it is used."""
    lines = [name, "=" * len(name), "", ".. currentmodule:: ase_schnet", ""]
    value = getattr(ase_schnet, name)
    if inspect.isclass(value):
        lines += [f".. autoclass:: {name}", "   :members:", ""]
        for method in _from_our_bases(value):
            lines += [f"   .. automethod:: {method}", ""]
    elif callable(value):
        lines += [f".. autofunction:: {name}", ""]
    else:
        entries = value.items() if isinstance(value, dict) else [(name, value)]
        lines += [f".. py:data:: {name}", "", "   .. code-block:: text", ""]
        lines += [f"      {key}: {entry!r}" for key, entry in entries]
        lines.append("")
    if used_in:
        lines += [f"Used in: {used_in}.", ""]
    return "\n".join(lines)


def _from_our_bases(cls: type) -> list[str]:
    """Name the methods that a class has from bases of this package which have no page themselves."""
    bases = [
        base
        for base in cls.__mro__[1:]
        if base.__module__.startswith("ase_schnet.") and base.__name__ not in ase_schnet.__all__
    ]
    names = [k for base in bases for k, v in vars(base).items() if inspect.isfunction(v)]
    return [k for k in names if not k.startswith("_") and k not in vars(cls)]


def _is_data(name: str) -> bool:
    value = getattr(ase_schnet, name)
    return not (inspect.isclass(value) or callable(value))
