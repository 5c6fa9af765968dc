"""Picture of how alike the elements of a model are to its network."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ase_schnet.inference.atomic_energies import ElementSimilarity
from ase_schnet.plotting.numbers import keep_numbers
from ase_schnet.plotting.style import BLACK, WIDTH, figure_of, legible, panels_of

#: Numbers are written into the fields of so many elements at most.
MOST_NUMBERS = 8


@legible
def plot_element_similarity(similarity: ElementSimilarity, axes: Axes | None = None) -> Figure:
    """Draw the cosine between the embeddings of every two elements, and its std over the members.

    The statement below the fields is part of the picture: what the cosine means, and how large it is by
    chance.

    Parameters
    ----------
    similarity
        What :func:`~ase_schnet.inference.atomic_energies.element_similarity` found.
    axes
        Axes to draw in. By default a new figure, a column wide.
    """
    (ax,) = panels_of(axes, ["similarity"], (WIDTH, 6.0))
    n, cosine, std = len(similarity.symbols), similarity.cosine, similarity.std
    first, second = (np.array(similarity.symbols)[k] for k in np.indices((n, n)))
    keep_numbers(ax, "similarity", first=first, second=second, cosine=cosine, std=std)
    image = ax.imshow(cosine, cmap="PuOr_r", vmin=-1, vmax=1)
    ax.set_xticks(range(n), similarity.symbols)
    ax.set_yticks(range(n), similarity.symbols)
    ax.tick_params(length=0)
    for i, j in np.ndindex(n, n) if n <= MOST_NUMBERS else ():
        text = f"{cosine[i, j]:.2f}"
        if std is not None and i != j:
            text += f"\n± {std[i, j]:.2f}"
        colour = "white" if abs(cosine[i, j]) > 0.6 else BLACK
        ax.text(j, i, text.replace("-", "−"), ha="center", va="center", color=colour)
    bar = ax.figure.colorbar(image, ax=ax, shrink=0.85)
    bar.set_label("cosine of the embeddings")
    lines = ["1: the network begins alike with both"]
    lines += [f"0 ± {similarity.by_chance:.2f}: as random vectors, nothing learnt"]
    lines += [] if std is None else ["other ±: std of the members"]
    ax.set_xlabel("\n".join(lines))
    return figure_of([ax])
