"""What a report says of a scan: its curve or map, where it can be believed, and its structures."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ase_schnet.plotting import plot_scan, plot_scan_map
from ase_schnet.plotting.style import as_png
from ase_schnet.report.page import Page, Picture, Section, Text, Verdict
from ase_schnet.report.viewer import Property, Structures, thinned
from ase_schnet.scan import ScanMap, ScanResult
from ase_schnet.scan.summary import (
    describe_map,
    describe_scan,
    inside_training,
    lost_points,
    points_in_holes,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def scan_page(scan: ScanResult | ScanMap, name: str, *, structures: bool) -> Page:
    """Collect what a report says of a scan of one coordinate or of two.

    Parameters
    ----------
    scan
        The scan.
    name
        Where it lies.
    structures
        Whether its structures are shown, if it has any.

    Raises
    ------
    ValueError
        If no point has an energy.
    """
    if not np.isfinite(scan.energies_eV).any():
        raise ValueError(
            f"{name}: no point of the scan has an energy, so there is nothing to report"
        )
    one = isinstance(scan, ScanResult)
    names = [scan.coordinate_name] if one else list(scan.coordinate_names)
    figure, words = _drawn(scan), _described(scan)
    blocks: list[Picture | Text] = [
        Picture(as_png(figure), _caption(scan)),
        Text(words, exact=True),
    ]
    sections = [Section("Energy", blocks)]
    if structures and _has_structures(scan):
        sections.append(Section("Structures of the points", _structures(scan)))
    about = [
        ("scan", name),
        ("coordinate", "; ".join(names)),
        ("points", str(scan.energies_eV.size)),
    ]
    verdicts = [_points(scan), _holes(scan), *_trust(scan), *_reference(scan)]
    numbers = {"kind": "scan", "lowest_eV": float(np.nanmin(scan.energies_eV))}
    return Page(f"Scan of {' and '.join(names)}", about, verdicts, sections, numbers)


def _drawn(scan: ScanResult | ScanMap) -> Figure:
    if isinstance(scan, ScanMap):
        return plot_scan_map(scan)
    return plot_scan(scan)


def _described(scan: ScanResult | ScanMap) -> str:
    # a scan does not say how much its model disagrees too little, and without that an error bar is too short
    scan = replace(scan, energy_committee_eV=None)
    if isinstance(scan, ScanMap):
        return describe_map(scan)
    return describe_scan(scan)


def _has_structures(scan: ScanResult | ScanMap) -> bool:
    """Return whether there are structures with atoms: a scan that was read from its table alone has none."""
    frames = scan.frames.values() if isinstance(scan, ScanMap) else scan.frames
    return len(frames) > 0 and all(len(atoms) for atoms in frames)


def _points(scan: ScanResult | ScanMap) -> Verdict:
    lost, size = lost_points(scan), scan.energies_eV.size
    if lost:
        words = (
            f"{lost} of {size} did not converge or have no energy: begin from a relaxed structure"
        )
        return Verdict("Points", "FAIL", words)
    unfinished = int((~np.isfinite(scan.energies_eV)).sum())
    if unfinished:
        return Verdict("Points", "INCONCLUSIVE", f"{unfinished} of {size} were not calculated")
    return Verdict("Points", "PASS", f"all {size} have an energy")


def _holes(scan: ScanResult | ScanMap) -> Verdict:
    holes = int(points_in_holes(scan).sum())
    if holes:
        words = f"{holes} points outside training have energies far too low: they need data"
        return Verdict("Holes of the model", "FAIL", words)
    return Verdict("Holes of the model", "PASS", "none among these points")


def _trust(scan: ScanResult | ScanMap) -> list[Verdict]:
    if scan.outside_training is None:
        return [Verdict("Training", "NOTE", "the calculator does not say what it was trained on")]
    known, inside = np.isfinite(scan.energies_eV), inside_training(scan, every_level=True)
    n, outside = known.sum(), int((known & ~inside).sum())
    taught = int((inside & ~inside_training(scan)).sum())
    if outside:
        words = f"{outside} of {n} points are unlike all training or did not converge: do not rely on them"
        more = f"; {taught} more rest on the cheap method alone" if taught else ""
        return [Verdict("Training", "FAIL", words + more)]
    if taught:
        words = f"{taught} of {n} points rest on the cheap method that taught the model their shape"
        return [Verdict("Training", "NOTE", words)]
    return [Verdict("Training", "PASS", "all points are within what the model was trained on")]


def _reference(scan: ScanResult | ScanMap) -> list[Verdict]:
    """Say how far the curve is from the reference, about their mean difference: their zeros differ."""
    if not isinstance(scan, ScanResult) or scan.reference_energies_eV is None:
        return []
    difference = scan.energies_eV - scan.reference_energies_eV
    known = np.isfinite(difference) & inside_training(scan)
    if known.sum() < 2:
        return [Verdict("Reference", "INCONCLUSIVE", "no two points within training to compare")]
    difference = 1000 * (difference[known] - difference[known].mean())
    words = (
        f"mean absolute difference {np.abs(difference).mean():.2g} meV, largest "
        f"{np.abs(difference).max():.2g} meV over {known.sum()} points within training, less their mean"
    )
    return [Verdict("Against the reference", "NOTE", words)]


def _caption(scan: ScanResult | ScanMap) -> str:
    if isinstance(scan, ScanMap):
        return "Energy along both coordinates, and how uncertain it is."
    parts = ["Energy along the coordinate"]
    if scan.energy_error_eV is not None:
        parts.append("its error bar")
    elif scan.energy_std_eV is not None:
        parts.append("one and two std of the ensemble")
    if scan.reference_energies_eV is not None:
        parts.append("the reference")
    return f"{', '.join(parts)}."


def _structures(scan: ScanResult | ScanMap) -> list[Text | Structures]:
    if isinstance(scan, ScanMap):
        sites = sorted(scan.frames)
        frames = [scan.frames[site] for site in sites]
        where = tuple(np.array(sites).T)
        pairs = zip(scan.coordinate_names, scan.values, where, strict=True)
        coordinates = {name: values[k] for name, values, k in pairs}
    else:
        frames, where = scan.frames, (np.arange(len(scan.frames)),)
        coordinates = {scan.coordinate_name: scan.values}
    shown = thinned(len(frames), len(frames[0]))
    properties = {}
    for name, values in coordinates.items():
        bare, _, unit = name.rpartition(" (")
        properties[bare] = Property(values[shown], unit.rstrip(")"))
    relative = 1000 * (scan.energies_eV[where] - np.nanmin(scan.energies_eV))
    properties["energy"] = Property(relative[shown], "meV", "above the lowest point")
    if scan.energy_std_eV is not None:
        std = 1000 * scan.energy_std_eV[where]
        properties["energy_std"] = Property(std[shown], "meV", "std of the ensemble")
    inside = inside_training(scan)[where][shown]
    properties["training"] = Property(["inside" if one else "outside" for one in inside])
    axes = list(properties)
    line = len(coordinates) == 1
    y = "energy" if line else axes[1]
    colour = ("energy_std" if "energy_std" in properties else "energy") if line else "energy"
    words = "Click a point to see its structure; the slider goes along the scan."
    viewer = Structures(
        "Structures of the scan",
        [frames[k] for k in shown],
        properties,
        {},
        axes[0],
        y,
        colour,
        line,
    )
    return [Text(words), viewer]
