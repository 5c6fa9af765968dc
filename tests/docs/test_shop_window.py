"""What a visitor and a machine read of the project: citation, changelog, workflows, metadata say the same."""

import re
import tomllib

import pytest
import yaml
from ase.build import molecule
from code_blocks import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text())


def test_the_citation_names_package_network_dipoles_and_data():
    assert CITATION["cff-version"] == "1.2.0"
    assert {"title", "message", "authors", "version", "date-released"} <= set(CITATION)
    cited = str(CITATION["references"])
    for source in ("1706.08566", "10.1063/5.0230176", "10.1088/2632-2153/abba6f"):
        assert source in cited
        assert source in (ROOT / "docs" / "cite.md").read_text()


def test_the_newest_version_of_the_changelog_is_dated_and_is_the_one_cited():
    versions = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert all(re.fullmatch(r"\d+\.\d+\.\d+ \(\d{4}-\d\d-\d\d\)", version) for version in versions)
    assert versions[0] == f"{CITATION['version']} ({CITATION['date-released']})"


@pytest.mark.parametrize(
    "path", sorted((ROOT / ".github").rglob("*.yml")), ids=lambda path: path.stem
)
def test_workflows_and_templates_are_read(path):
    assert isinstance(yaml.safe_load(path.read_text()), dict)


@pytest.mark.parametrize("package", ["ase", "torch"])
def test_the_lowest_versions_that_are_allowed_are_those_that_are_tested(package):
    (allowed,) = (line for line in PROJECT["dependencies"] if re.match(rf"{package}[><=]", line))
    lowest = re.search(r">=([\d.]+)", allowed)[1]
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text()
    assert re.search(rf"{package}=={re.escape(lowest)}(\.0)?\b", workflow)
    assert "<" in allowed, f"{package}: private names are used, so an upper bound is needed"


def test_every_extra_is_said_on_the_first_page():
    start = (ROOT / "docs" / "start.md").read_text()
    for extra in set(PROJECT["optional-dependencies"]) - {"test", "docs"}:
        assert f"`{extra}`" in start


PAGES = [*sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "md_examples").glob("*.md"))]
PAGES += [ROOT / "README.md", ROOT / "ase_schnet" / "cli" / "guide.py"]
ATOMS = re.compile(r"(?:ethanol\.xyz --distance|\"scan) (\d+) (\d+)")


def test_the_bond_that_pages_stretch_is_the_hydroxyl_bond_of_the_molecule_that_they_build():
    """`ase build CH3CH2OH` has its atoms in another order than the structures of rMD17."""
    ethanol = molecule("CH3CH2OH")
    found = [tuple(map(int, pair)) for page in PAGES for pair in ATOMS.findall(page.read_text())]
    assert len(found) >= 5
    for i, j in found:
        assert {ethanol[i].symbol, ethanol[j].symbol} == {"O", "H"}
        assert ethanol.get_distance(i, j) < 1.1
