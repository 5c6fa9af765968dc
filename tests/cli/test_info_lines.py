"""What `ase-schnet info` prints of a model."""

from dataclasses import replace

from ase_schnet import load_model
from ase_schnet.cli import main
from ase_schnet.training.description import FEW, level_lines


def alone_of(lines):
    return next(line for line in lines if line.startswith("alone"))


def test_of_many_parts_that_stood_alone_the_smallest_are_named_and_the_others_counted(capsys):
    pieces = load_model("organic").known_pieces
    assert len(pieces) > 100  # else this tests nothing
    assert main(["info", "organic"]) == 0
    line = alone_of(capsys.readouterr().out.splitlines())
    assert ": H, H2, " in line
    assert line.endswith(f" and {len(pieces) - FEW} more")
    assert len(line) < 160


def test_a_few_parts_that_stood_alone_are_all_named():
    model = load_model("ethanol")
    known = {
        model.level_of_theory: model.trained_on[model.level_of_theory] | {"pieces": ["O", "H"]}
    }
    line = alone_of(level_lines(replace(model, trained_on=model.trained_on | known)))
    assert line.endswith(": H, O")
