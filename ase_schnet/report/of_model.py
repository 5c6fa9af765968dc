"""What a report says of a model: how good it is, what it knows and does not know, where it errs."""

from __future__ import annotations

from pathlib import Path

from ase_schnet.data.dataset import Dataset
from ase_schnet.inference.repulsion import onsets
from ase_schnet.modelfile import TrainedModel, load_model
from ase_schnet.plotting import plot_learning_curves
from ase_schnet.plotting.style import as_png
from ase_schnet.report.of_data import data_sections, data_verdicts, judge
from ase_schnet.report.page import Page, Picture, Section, Table, Text, Verdict
from ase_schnet.training.description import electrons_of, origin_lines, ranges_of
from ase_schnet.training.report import error_lines, training_summary, verdict_of
from ase_schnet.uncertainty.bars import LEVEL
from ase_schnet.uncertainty.conformal import structures_needed


def model_page(name: str | Path, data: Dataset | None, *, structures: bool) -> Page:
    """Collect what a report says of a model.

    Parameters
    ----------
    name
        A model directory, or the name of a shipped model.
    data
        Labelled structures to hold it against; None: what its card says.
    structures
        Whether the structures of `data` are shown.

    Raises
    ------
    ModelFileError
        If there is no such model, or it is damaged.
    ValueError
        If `data` are of other elements, periodicity, charge or multiplicity than the model.
    """
    model = load_model(name)
    verdicts = [*_training_verdicts(model), _bars(model)]
    sections = [_knowledge(model), *_training(model)]
    if data is not None:
        judged = judge(model, data)
        verdicts += data_verdicts(judged)
        sections = [*data_sections(judged, structures=structures), *sections]
    return Page(
        f"Model {Path(model.path).resolve().name}",
        _about(model),
        verdicts,
        sections,
        {"kind": "model", "kept_out": model.card.get("kept_out", {})},
    )


def _training_verdicts(model: TrainedModel) -> list[Verdict]:
    card, found = model.card, []
    if judged := verdict_of(card):
        words = "; ".join(judged.reasons) or "errors small against the spread of the labels"
        found.append(Verdict("Training", "PASS" if judged.passed else "FAIL", words))
    if "kept_out" in card:
        n = card["kept_out"]["n_structures"]
        words = "; ".join(error_lines(card["kept_out"]))
        found.append(Verdict(f"Errors on {n} structures that no member saw", "NOTE", words))
    if length := card.get("training_length"):
        found.append(Verdict("Length of the training", "NOTE", length["words"]))
    return found


def _bars(model: TrainedModel) -> Verdict:
    known = model.card.get("intervals")
    if known:
        words = f"of {100 * known['level']:.4g} %, fitted to structures that no member saw"
        return Verdict("Error bars", "PASS", words)
    if model.n_members < 2:
        return Verdict(
            "Error bars", "NOTE", "none: one network alone cannot tell where it is unsure"
        )
    return Verdict(
        "Error bars",
        "NOTE",
        f"none: ase-schnet calibrate {model.path} DATA fits them to labelled structures that no member saw, "
        f"at least {structures_needed(LEVEL)}",
    )


def _knowledge(model: TrainedModel) -> Section:
    """Say what the model was trained on, and what follows for everything else."""
    alone = ", ".join(sorted(model.known_pieces)) or "nothing"
    rows = [
        ("elements", ", ".join(model.symbols), "others are refused"),
        (
            "kind",
            "periodic structures" if model.pbc else "molecules",
            "stress too" if model.pbc else "periodic structures are refused",
        ),
        ("electrons", electrons_of(model.card), "another charge or multiplicity is refused"),
        ("energies of", model.level_of_theory, _difference(model)),
        (
            "alone beyond the cutoff",
            alone,
            "other pieces that come apart are outside training: a warning",
        ),
    ]
    levels = [(model.level_of_theory, model.distance_ranges)]
    levels += [
        (level, model.trained_on[level]["distance_ranges_Ang"]) for level in model.other_levels
    ]
    begins = onsets(model)
    pairs = [
        (
            pair,
            *(ranges_of({pair: ranges[pair]}).removeprefix(pair).strip() if pair in ranges else "–"
              for _, ranges in levels),
            f"below {begins[pair]:.2f} Å" if pair in begins else "–",
        )
        for pair in sorted(model.known_ranges)
    ]  # fmt: skip
    words = (
        "Distances of the training data. Outside them a calculator warns, its error bars are infinite, and a "
        "monitor stops a run; atoms that come nearer are repelled as bare nuclei are (ZBL)."
    )
    columns = ["pair", *(f"in the data of {level}" for level, _ in levels), "repulsion"]
    blocks = [
        Table(["what", "it knows", "of the rest"], rows),
        Text(words),
        Table(columns, pairs),
    ]
    return Section("What it knows, and what it does not", blocks)


def _difference(model: TrainedModel) -> str:
    if model.baseline is not None:
        return f"as the difference to {model.baseline}, which DeltaCalculator adds"
    return f"distances also from {', '.join(model.other_levels)}" if model.other_levels else ""


def _training(model: TrainedModel) -> list[Section]:
    blocks: list[Picture | Text] = []
    folds = model.card.get("folds")
    if folds and "history" in folds[0]:
        figure = plot_learning_curves(folds, model.card.get("training_length"))
        blocks.append(
            Picture(as_png(figure), "Loss and validation errors of each member by epoch.")
        )
    blocks.append(Text(training_summary(model), exact=True))
    blocks.append(Text("\n".join(origin_lines(model.card)), exact=True))
    return [Section("Training", blocks)]


def _about(model: TrainedModel) -> list[tuple[str, str]]:
    config = model.config
    return [
        ("model", str(Path(model.path).resolve())),
        ("sha256", f"{model.checksum[:12]}…"),
        (
            "network",
            f"{model.n_members} SchNets of {config['n_interactions']} interactions × "
            f"{config['n_atom_basis']} features, cutoff {config['cutoff']:g} Å",
        ),
        ("level of theory", model.level_of_theory),
    ]
