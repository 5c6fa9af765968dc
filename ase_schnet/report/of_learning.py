"""What a report says of a learning: its rounds, what was labelled, how good the model became."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ase_schnet.data.dataset import Dataset
from ase_schnet.learning.explore import whole_runs
from ase_schnet.learning.reading import Learning, read_learning
from ase_schnet.model_directories import CARD
from ase_schnet.modelfile import load_model
from ase_schnet.plotting import plot_learning
from ase_schnet.plotting.style import as_png
from ase_schnet.report.of_model import model_page
from ase_schnet.report.page import Page, Picture, Section, Table, Text, Verdict
from ase_schnet.report.viewer import Property, Structures, thinned

ROUNDS = (
    ("round", "round"),
    ("calls", "structures given to the reference"),
    ("labels", "labels"),
    ("failed", "failed"),
    ("random", "random structures"),
    ("forces_mae_meV_per_Ang", "force MAE on them (meV/Å)"),
    ("energy_mae_meV", "energy MAE (meV)"),
)


def learning_page(directory: Path, data: Dataset | None, *, structures: bool) -> Page:
    """Collect what a report says of a learning, and of its model where there is one.

    Parameters
    ----------
    directory
        Of the learning, finished or not.
    data
        Labelled structures to hold the model against.
    structures
        Whether the labelled structures are shown.

    Raises
    ------
    ValueError
        If it has not finished a round, is damaged, or `data` are given and it has no model yet.
    """
    learning = read_learning(directory)
    if not learning.rows:
        raise ValueError(
            f"{directory} has not finished its first round: the same ase-schnet learn command goes on with it"
        )
    if data is not None and not learning.finished:
        last = _last_model(directory)
        other = "" if last is None else f", or report on that of its last round, {last}"
        raise ValueError(f"{directory} has no model of the end yet: leave the data out{other}")
    verdicts, sections = [_goal(learning), *_life(learning)], [_rounds(learning)]
    if structures and (shown := _structures(learning)):
        sections.append(Section("What was labelled", shown))
    about = [
        ("learning", str(directory.resolve())),
        ("reference", str(learning.settings.get("reference"))),
        ("temperature", f"{learning.settings.get('temperature_K', float('nan')):g} K"),
        ("goal", f"{learning.goal_force_meV_per_Ang:g} meV/Å"),
        ("budget", "default" if learning.budget is None else f"{learning.budget} structures"),
    ]
    numbers = {"kind": "learning", "calls": learning.rows[-1].calls, "reached": learning.reached}
    if learning.finished:
        model = model_page(directory, data, structures=structures)
        verdicts, sections = [*verdicts, *model.verdicts], [*sections, *model.sections]
        about += [pair for pair in model.about if pair[0] != "model"]
        numbers["kept_out"] = model.numbers["kept_out"]
    return Page(f"Learning {directory.resolve().name}", about, verdicts, sections, numbers)


def _last_model(directory: str | Path) -> Path | None:
    """Return the model of the last round that has one: after the last of a budget none is trained."""
    found = [path.parent for path in Path(directory).glob(f"rounds/[0-9]*/model/{CARD}")]
    return max(found, key=lambda path: int(path.parent.name), default=None)


def _goal(learning: Learning) -> Verdict:
    last, goal = learning.rows[-1], learning.goal_force_meV_per_Ang
    rounds = f"{len(learning.rows)} round{'s' * (len(learning.rows) != 1)}"
    words = f"after {rounds} and {last.calls} structures; {last.words(goal)}"
    if learning.reached:
        return Verdict("Goal", "PASS", words)
    spent = learning.finished and not learning.rounds_left
    more = "a larger --budget goes on" if spent else "the same command goes on"
    return Verdict("Goal", "FAIL" if learning.finished else "INCONCLUSIVE", f"{words}; {more}")


def _life(learning: Learning) -> list[Verdict]:
    if not learning.lives:
        return []
    whole, runs = whole_runs(learning.lives)
    words = f"{whole} of {runs} runs of the model of the end came to their end"
    if whole == runs:
        return [Verdict("Life", "PASS", words)]
    ended = next(life.ended for life in learning.lives if life.plan.at_goal and life.ended)
    return [Verdict("Life", "FAIL", f"{words}; one ended because {ended}")]


def _rounds(learning: Learning) -> Section:
    rows = [
        [*(getattr(row, name) for name, _ in ROUNDS), f"{row.runs_whole} of {row.runs}"]
        for row in learning.rows
    ]
    blocks: list[Text | Table | Picture] = [
        Text(
            "A row judges the model of the round before, on structures drawn at random from its own dynamics "
            "and by the runs that it survived."
        ),
        Table([*(title for _, title in ROUNDS), "whole runs"], rows),
    ]
    if len(rows) > 1:
        figure = plot_learning(learning.rows, learning.goal_force_meV_per_Ang, _end(learning))
        shows = "Errors and whole runs against the structures given to the reference."
        blocks.insert(0, Picture(as_png(figure), shows))
    if learning.lives:
        columns = ["run", "kind", "planned (ps)", "lived (ps)", "ended by"]
        lives = [
            [
                life.plan.number,
                life.plan.kind,
                life.plan.time_ps,
                life.life_ps,
                life.ended or "its end",
            ]
            for life in learning.lives
        ]
        blocks += [Text("Runs of the model of the end:"), Table(columns, lives)]
    return Section("Rounds", blocks)


def _end(learning: Learning) -> tuple[int, float, float] | None:
    """Return calls, force error (meV/Å) and share of whole runs of the model of the end, if it is there."""
    if not (learning.finished and learning.lives):
        return None
    judged = load_model(learning.directory).card["kept_out"]
    whole, runs = whole_runs(learning.lives)
    return learning.rows[-1].calls, judged["forces_mae_meV_per_Ang"], whole / runs


def _structures(learning: Learning) -> list[Text | Structures]:
    labelled = learning.labels()
    if not labelled:
        return []
    chosen = thinned(len(labelled), max(map(len, labelled)))
    frames = [labelled[k] for k in chosen]
    energies = np.array([atoms.get_potential_energy() for atoms in frames])
    forces = [atoms.get_forces() for atoms in frames]
    properties = {
        "number": Property(np.array([a.info["number"] for a in frames], dtype=float)),
        "energy": Property(energies - energies.min(), "eV", "above the lowest of them"),
        "largest force": Property(
            np.array([np.linalg.norm(f, axis=1).max() for f in forces]), "eV/Å", "on any atom"
        ),
        "round": Property(np.array([a.info["round"] for a in frames], dtype=float)),
        "share": Property([str(a.info["share"]) for a in frames], "", "drawn at random, or chosen"),
        "kind": Property([str(a.info["kind"]) for a in frames], "", "where it was met"),
    }
    of_atoms = {
        "force": Property(np.concatenate([np.linalg.norm(f, axis=1) for f in forces]), "eV/Å")
    }
    words = (
        f"{len(frames)} of {len(labelled)} labelled structures as they were asked for. Click "
        "a point to see one; atoms are coloured by the force of the reference on them."
    )
    name = "Labelled structures"
    return [
        Text(words),
        Structures(name, frames, properties, of_atoms, "number", "energy", "round"),
    ]
