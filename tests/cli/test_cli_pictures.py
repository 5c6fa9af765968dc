"""--save-data: each command that draws has it and writes a table; without a picture it is refused."""

import csv

import command_pages
import pytest
from ase.build import molecule
from ase.io import write

from ase_schnet.cli import main

DRAWS = {"--no-plot", "--picture", "--figure"}


def options() -> dict[str, set[str]]:
    parsers = command_pages.parsers().items()
    return {name: {o for a in p._actions for o in a.option_strings} for name, p in parsers}


def test_every_command_that_draws_takes_it_and_no_other():
    known = options()
    drawing = {name for name, of in known.items() if of & DRAWS} | {"learn"}
    assert {name for name, of in known.items() if "--save-data" in of} == drawing
    assert len(drawing) > 10


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write("ethanol.xyz", molecule("CH3CH2OH"))
    return tmp_path


SCAN = ["scan", "ethanol", "ethanol.xyz", "--angle", "1", "2", "3", "--from", "100", "--to", "115"]
COMMANDS = {
    "scan.png": [*SCAN, "--points", "4", "-o", "scan.png"],
    "elements.png": ["info", "ethanol", "--picture", "elements.png"],
    "atoms.svg": ["predict", "ethanol", "ethanol.xyz", "-o", "p.xyz", "--picture", "atoms.svg"],
    "run/drift.png": ["md", "ethanol", "ethanol.xyz", "--time", "0.05", "-o", "run"],
}


@pytest.mark.parametrize("picture", COMMANDS)
def test_the_numbers_lie_beside_the_picture(place, capsys, picture):
    assert main([*COMMANDS[picture], "--save-data"]) in (0, 3)
    table = (place / picture).with_name(f"{(place / picture).stem}-data.csv")
    assert f"data: {table.relative_to(place)}" in capsys.readouterr().out
    with table.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) >= 4
    assert all(row["shown"] for row in rows)


@pytest.mark.parametrize(
    ("words", "cure"),
    [
        ([*SCAN, "--no-plot"], "leave out --no-plot"),
        (["info", "ethanol"], "give --picture FILE too"),
        (["train", "ethanol.xyz", "-o", "m", "--fold", "1"], "give it to ase-schnet assemble"),
        (["average", "run"], "--save-data applies to --of rdf only"),
    ],
)
def test_without_a_picture_it_is_refused(place, capsys, words, cure):
    assert main([*words, "--save-data"]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert cure in line
