"""Every figure of the site is made anew by one command, here in its short form and from nothing."""

import importlib.util
import re
from types import ModuleType

import pytest
from code_blocks import PAGES, ROOT
from forked import python

FIGURES = ROOT / "docs" / "figures"
SCRIPT = ROOT / "docs" / "figures.py"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("figures_of_the_site", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def known(script):
    return {figure.name: figure for figure in script.FIGURES_OF_THE_SITE}


def test_what_lies_there_is_what_the_command_makes(known):
    files = {f"{name}.txt" for name in known} | {
        f"{f.name}.png" for f in known.values() if f.picture
    }
    assert {path.name for path in FIGURES.iterdir()} == files


def test_every_figure_and_output_on_a_page_is_made_by_the_command(known):
    for page in PAGES:
        text = (ROOT / page).read_text()
        for name in re.findall(r"figures/([\w.]+)\.(?:png|txt)", text):
            assert name in known, f"{page}: {name}"


def test_every_output_names_its_command_commit_and_date():
    for path in FIGURES.glob("*.txt"):
        first = path.read_text().splitlines()[0]
        assert re.fullmatch(
            r"\$ (python|ase-schnet) .+    # [0-9a-f]{7,}( with changes)?, \d{4}-\d\d-\d\d", first
        ), path
        assert "--quick" not in first


@pytest.mark.slow
def test_all_figures_are_made_again_from_nothing(script, tmp_path, monkeypatch):
    """Each command in a process of its own, forked from one that has imported what they import."""
    monkeypatch.setattr(script, "run_python", python)
    script.main(["--quick", "--output", str(tmp_path)])
    made = {path.name: path.stat().st_size for path in tmp_path.iterdir()}
    assert set(made) == {path.name for path in FIGURES.iterdir()} | {"main_job.png"}
    assert all(size > 10_000 for name, size in made.items() if name.endswith(".png"))
