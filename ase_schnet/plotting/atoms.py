"""Picture of a structure whose atoms are coloured by what each has of the energy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from ase import Atoms
from ase.data import covalent_radii
from ase.utils import rotate
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Circle, PathPatch
from matplotlib.textpath import TextPath
from matplotlib.transforms import Affine2D
from numpy.typing import NDArray
from scipy.spatial.distance import pdist

from ase_schnet.bonds import bonded_pairs
from ase_schnet.inference.atomic_energies import atomic_energies
from ase_schnet.inference.options import EngineOptions
from ase_schnet.plotting.numbers import keep_numbers
from ase_schnet.plotting.style import BLACK, WIDTH, figure_of, legible, panels_of

if TYPE_CHECKING:
    from ase_schnet.calculator import SchNetCalculator

#: Radius of a disc, Å: a part that all have, and a share of the covalent radius.
DISC, SHARE = 0.22, 0.25
#: Tilts of the broadest view about the horizontal and the vertical axis, °. That one is taken in which atoms
#: hide each other least.
TILTS = [f"{x}x,{y}y" for x in (15, -15, 30, -30) for y in (10, -10, 25, -25)]
MOST_TRIED = 200  # atoms
HEIGHT = 4.1  # of a panel, inches
#: Luminance of a disc below which its symbol is white.
DARK = 0.45


@legible
def plot_atomic_energies(
    atoms: Atoms,
    calc: SchNetCalculator | None = None,
    axes: Axes | Sequence[Axes] | None = None,
    *,
    rotation: str | None = None,
) -> Figure:
    """Draw a structure, each atom coloured by its energy less the offset of its element, in eV.

    With an ensemble a second panel shows the standard deviation of the members, eV. How a network divides the
    energy among the atoms is its own choice; only their sum was trained. So compare atoms of one element, and
    see by the second panel how far the members agree about the division
    (`ase_schnet.inference.atomic_energies`).

    Parameters
    ----------
    atoms
        The structure, a molecule or a cell. Bonds are drawn by covalent radii.
    calc
        The model. None: the calculator of `atoms`.
    axes
        One or two to draw in: energies, and std of an ensemble. By default a new figure, a column wide.
    rotation
        View, as ASE's ``plot_atoms`` takes it, such as "90x,30y". None: the broadest side, slightly tilted.

    Returns
    -------
    Figure
        The figure of the axes.

    Raises
    ------
    InputError
        The model does not support the structure.
    ValueError
        The calculator is not a :class:`SchNetCalculator`, or the rotation cannot be read.
    """
    calc = atoms.calc if calc is None else calc
    if not hasattr(calc, "trained"):
        raise ValueError(
            "atomic energies less the offsets of the elements are those of a SchNetCalculator, not of "
            f"{type(calc).__name__}: pass calc=SchNetCalculator(MODEL)"
        )
    panels = _panels(atoms, calc)
    n = len(panels)
    size = (WIDTH, n * HEIGHT)
    drawn = panels_of(axes, ["energy", "std"][:n], size, nrows=n)
    view = _view(atoms.positions, rotation)
    for ax, (values, name, norm, label) in zip(drawn, panels, strict=False):
        colours = ScalarMappable(norm, colormaps[name])
        _draw(ax, atoms, view, colours.to_rgba(values))
        of_atoms = {"atom": np.arange(len(atoms)), "symbol": list(atoms.symbols)}
        keep_numbers(ax, " ".join(label.split()), **of_atoms, eV=values)
        bar = ax.figure.colorbar(colours, ax=ax, shrink=0.9)
        bar.set_label(label)
    return figure_of(drawn)


def _panels(atoms: Atoms, calc: SchNetCalculator) -> list[tuple[NDArray, str, Normalize, str]]:
    """Return of every panel the values (N,), their colours, the ends of the colours, and what they are."""
    p, trained = calc.parameters, calc.trained
    options = EngineOptions(device=p["device"], repulsion=p["repulsion"])
    found = atomic_energies(atoms, trained, options)
    of = "energy" if trained.baseline is None else f"difference to {trained.baseline}"
    largest = np.abs(found.energies_eV).max() or 1.0
    label = f"atomic {of} − offset\nof the element (eV)"
    panels = [(found.energies_eV, "PuOr_r", Normalize(-largest, largest), label)]
    if found.std_eV is not None:
        ends = Normalize(0.0, found.std_eV.max() or 1.0)
        panels.append((found.std_eV, "cividis", ends, "std of the members (eV)"))
    return panels


def _view(positions: NDArray, rotation: str | None) -> NDArray:
    """Return the rotation (3, 3) that turns positions to (right, up, towards the reader)."""
    if rotation is not None:
        try:
            return rotate(rotation)
        except (ValueError, KeyError, IndexError):
            raise ValueError(f"rotation must be like '90x,30y', not {rotation!r}") from None
    arms = positions - positions.mean(axis=0)
    axes = np.linalg.eigh(arms.T @ arms)[1][:, ::-1]  # the longest side first
    axes[:, 2] *= np.linalg.det(axes)  # no mirror image
    views = [axes @ rotate(tilt) for tilt in TILTS]
    if not 1 < len(positions) <= MOST_TRIED:
        return views[0]
    return max(views, key=lambda view: pdist((positions @ view)[:, :2]).min())


def _draw(ax: Axes, atoms: Atoms, view: NDArray, colours: NDArray) -> None:
    """Draw cell, bonds and discs in colours (N, 4), what is behind first."""
    places = atoms.positions @ view  # right, up, towards the reader
    radii = DISC + SHARE * covalent_radii[atoms.numbers]
    depth = np.argsort(np.argsort(places[:, 2], kind="stable"))
    _draw_cell(ax, atoms, view)
    first, _, vectors = bonded_pairs(atoms)
    # half a bond from either end: each has its depth
    for i, half in zip(first, vectors @ view / 2, strict=True):
        ends = places[i, :2], places[i, :2] + half[:2]
        ax.plot(*zip(*ends, strict=True), color="0.55", lw=4.5, zorder=2 + depth[i])
    for i, (x, y) in enumerate(places[:, :2]):
        order = 2.5 + depth[i]
        disc = Circle((x, y), radii[i], facecolor=colours[i], edgecolor=BLACK, lw=1.2)
        disc.set_zorder(order)
        ax.add_patch(disc)
        light = colours[i, :3] @ (0.2126, 0.7152, 0.0722) > DARK
        _write(ax, atoms.symbols[i], (x, y), radii[i], BLACK if light else "white", order + 0.1)
    ax.set_aspect("equal")
    ax.set_axis_off()
    ax.autoscale_view()


def _write(ax: Axes, text: str, centre: tuple, radius: float, colour: str, zorder: float) -> None:
    """Write a symbol into a disc, as large as the disc allows."""
    path = TextPath((0, 0), text, size=1.0)
    box = path.get_extents()
    scale = 1.1 * radius / np.hypot(box.width, box.height)
    to = Affine2D().translate(-(box.x0 + box.x1) / 2, -(box.y0 + box.y1) / 2)
    shape = to.scale(scale).translate(*centre).transform_path(path)
    ax.add_patch(PathPatch(shape, facecolor=colour, lw=0, zorder=zorder))


def _draw_cell(ax: Axes, atoms: Atoms, view: NDArray) -> None:
    """Draw the edges of a periodic cell behind the atoms."""
    if not atoms.pbc.any():
        return
    corners = np.array(list(np.ndindex(2, 2, 2)))
    for a in corners:
        for b in corners[(corners - a).sum(axis=1) == 1]:
            if (b >= a).all():
                ends = np.array([a, b]) @ atoms.cell.array @ view
                ax.plot(ends[:, 0], ends[:, 1], color="0.75", lw=1, zorder=1)
