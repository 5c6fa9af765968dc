"""A model in words: whose energies it predicts, for which structures, and what it was trained on."""

from __future__ import annotations

from ase.formula import Formula

from ase_schnet.trained_model import TrainedModel

#: Formulas of what stood alone that are printed, the smallest ones.
FEW = 12


def level_lines(model: TrainedModel) -> list[str]:
    """Describe whose energies the model predicts, and which distances rest on which method."""
    lines = [f"level       {model.level_of_theory}"]
    if model.baseline is not None:
        lines.append(f"difference  to {model.baseline}, which DeltaCalculator adds at every step")
    lines.append(f"distances   {ranges_of(model.distance_ranges)}")
    for level, known in model.trained_on.items():
        if level != model.level_of_theory:
            n = f"{known['n_structures']} structures; " if "n_structures" in known else ""
            lines.append(f"also from   {level}: {n}{ranges_of(known['distance_ranges_Ang'])}")
    if model.known_pieces:
        cutoff = f"{model.config['cutoff']:g} Å"
        lines.append(
            f"alone       farther than {cutoff} from all other atoms: {_few_pieces(model)}"
        )
    if start := model.card.get("training", {}).get("start"):
        frozen = f"; frozen: {', '.join(start['freeze'])}" if start["freeze"] else ""
        lines.append(f"started     from the weights of {start['model']}{frozen}")
    return lines


def _few_pieces(model: TrainedModel) -> str:
    """Return the formulas of what stood alone in training, the smallest first; of many, count the others."""
    pieces = sorted(model.known_pieces, key=lambda text: (len(Formula(text)), text))
    others = len(pieces) - FEW
    return ", ".join(pieces[:FEW]) + (f" and {others} more" if others > 0 else "")


def ranges_of(ranges: dict[str, list[list[float]]]) -> str:
    """Return the distances of every pair of elements as text."""
    if not ranges:
        return "of its training not known"
    each = (
        f"{pair} " + ", ".join(f"{low:.2f}-{high:.2f}" for low, high in intervals)
        for pair, intervals in ranges.items()
    )
    return f"{'; '.join(each)} Å"


def electrons_of(card: dict) -> str:
    """Describe the charge and multiplicity of the structures that the model is for."""
    if "charge" not in card:
        return "not in the card: taken as neutral, in the lowest multiplicity"
    return f"charge {card['charge']}, multiplicity {card['multiplicity']}"


def origin_lines(card: dict) -> list[str]:
    """Describe data, loss weights and command, or which file it was converted from, if the card has them."""
    training = card.get("training")
    if "converted" in card:
        return _converted_lines(card["converted"])
    if not training:
        return ["trained     unknown: the card has no record of a training"]
    loss = training["loss"]
    weights = ", ".join(
        f"{name} {loss[name]:g}" for name in ("energy", "forces", "stress") if name in loss
    )
    source = f"{training['source']}, " if training["source"] else ""
    return [
        f"data        {source}{training['n_structures']} structures, in {training['units_in_source']}",
        f"loss        {loss['kind']}; weights {weights}",
        f"trained     {training['finished']}; {training.get('command', 'from Python')}",
    ]


def check_line(converted: dict) -> str:
    """Return what is known of the network's own package's answers."""
    checked = converted["checked"]
    if checked is None:
        return "checked     not checked against its maker (--check-with PYTHON)"
    return (
        f"checked     against {checked['with']}: {checked['n_structures']} structures, within "
        f"{checked['energy_max_difference_eV']:.0e} eV, "
        f"{checked['forces_max_difference_eV_per_Ang']:.0e} eV/Å in {checked['dtype']}"
    )


def _converted_lines(converted: dict) -> list[str]:
    """Describe where a converted model is from."""
    files = ", ".join(
        f"{file['name']} (sha256 {file['sha256'][:12]}…"
        f"{'' if file['has_checksums'] else '; unverified: its container has no checksums'})"
        for file in converted["files"]
    )
    return [
        f"converted   {converted['finished']} from {converted['origin']}, {converted['units']}: {files}",
        check_line(converted),
        *(f"note        {remark}" for remark in converted["remarks"]),
    ]
