"""Every code block of README and site is run, in the order of its page, beside the files that it names."""

import json
import re
import shutil
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import pytest
from code_blocks import PAGES, ROOT, Block, blocks_of, commands_of
from learning_cases import few_short_runs
from page_files import write_reader_files
from page_runs import NOT_RUN, check_python, check_script, is_slow, run_python, run_shell

SHOWN = {"text", "", "{literalinclude}", "{toctree}", "{include}"}  # output, drawings, other pages
#: Blocks that CI runs from the README itself, or that are its own steps.
OF_CI = {"README.md": ("bash",), "CONTRIBUTING.md": ("bash",)}
#: Scripts for a scheduler or an interpreter that is not here: bash reads them and their commands parse.
FOR_A_SCHEDULER = ("#!/bin/bash", "sbatch", "torchrun")
#: Python that is not run, and why; its imports and the arguments of its calls are checked.
ELSEWHERE = {
    "dask_jobqueue": "starts jobs of Slurm; tests/labelling runs the same calls with a local Dask scheduler",
    '"silicon", frames="npt"': "averages of 10 ps and more; 6_silicon_rdf.py and tests/propagation make them",
    '"learnt"': "the command on the same page runs learn(); tests/learning runs both from Python",
    "TuneSettings": "an hour of trials; tests/tuning runs short ones",
    "my_dropout_model": "takes minutes to train; tests/training/test_dropout_training.py has one",
    "pretrained(": "a pool of 34,000 structures: half an hour; tests/pretraining runs a small one",
}
#: Packages without which a block is left out: `pip install 'ase-schnet[test]'` brings them.
OPTIONAL = ("qcengine",)
PAGES_WITH_CODE = [page for page in PAGES if any(b.language not in SHOWN for b in blocks_of(page))]


@pytest.fixture(scope="module")
def reader_files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reader")
    write_reader_files(folder)
    return folder


@pytest.fixture
def folder(reader_files, tmp_path, monkeypatch):
    """A folder of one page's own, with the files that a reader has."""
    here = tmp_path / "page"
    shutil.copytree(reader_files, here)
    monkeypatch.chdir(here)
    return here


def run_page(page: str, folder: Path, *, slow: bool) -> Counter:
    """Run the blocks of a page; without `slow` leave out those that take long."""
    done, namespace = Counter(), {"__name__": "__main__"}
    for block in blocks_of(page):
        if block.language in SHOWN:
            continue
        if any(f"import {p}" in block.text and find_spec(p) is None for p in OPTIONAL):
            done["not installed"] += 1
            continue
        if is_slow(block) and not slow and not is_elsewhere(block):
            done["slow"] += 1
            continue
        try:
            done[run_block(block, folder, namespace)] += 1
        except BaseException as error:
            error.add_note(f"in the block at {block.place}")
            raise
    return done


def is_elsewhere(block: Block) -> bool:
    return block.language == "python" and any(name in block.text for name in ELSEWHERE)


def run_block(block: Block, folder: Path, namespace: dict) -> str:
    if block.language == "python":
        if is_elsewhere(block):
            check_python(block)
            return "checked"
        run_python(block, namespace)
        return "run"
    if block.language == "json":
        assert json.loads(block.text)
        return "checked"
    assert block.language in ("bash", "console"), f"{block.place}: no way to run {block.language!r}"
    if block.language in OF_CI.get(block.page, ()):
        return check_steps_of_ci(block)
    if any(word in block.text for word in FOR_A_SCHEDULER):
        check_script(block, folder)
        return "checked"
    ways = {run_shell(line) for line in commands_of(block)}
    return "run" if "run" in ways else "checked"


def check_steps_of_ci(block: Block) -> str:
    """CI runs the README's blocks as they are, and each tool that CONTRIBUTING names."""
    ci = (ROOT / ".ci" / "run").read_text()
    if block.page == "README.md":
        assert "block 1" in ci and "block 2" in ci  # noqa: PT018
        assert len([b for b in blocks_of(block.page) if b.language == "bash"]) == 2
    else:
        tools = re.findall(r"\.venv/bin/(?:python -m )?([\w-]+)", block.text)
        assert (
            {"ruff", "numpydoc", "pyright", "sphinx"}
            <= set(tools)
            <= {"pip", "pytest", *re.findall(r"[\w-]+", ci)}
        )
    return "by CI"


@pytest.mark.parametrize("page", PAGES_WITH_CODE)
def test_the_blocks_of_a_page_run(page, folder):
    done = run_page(page, folder, slow=False)
    assert sum(done.values()) == len([b for b in blocks_of(page) if b.language not in SHOWN])


LONG = [p for p in PAGES_WITH_CODE if any(map(is_slow, blocks_of(p))) and p != "README.md"]


def test_the_long_commands_of_the_readme_are_those_of_other_pages():
    """So they need not be run twice."""
    known = {
        line.split("#")[0].strip()
        for page in LONG
        for block in blocks_of(page)
        if block.language == "console"
        for line in commands_of(block)
    }
    for block in filter(is_slow, blocks_of("README.md")):
        assert {line.split("#")[0].strip() for line in commands_of(block)} <= known


@pytest.mark.slow
@pytest.mark.parametrize("page", LONG)
def test_the_long_blocks_of_a_page_run(page, folder, monkeypatch):
    few_short_runs(monkeypatch)
    monkeypatch.setattr("ase_schnet.learning.fit.MOST_EPOCHS", 5)
    # a model of few steps leaves its data at once
    monkeypatch.setattr("ase_schnet.learning.explore.StructureWatch.find", lambda *_: {})
    assert "slow" not in run_page(page, folder, slow=True)


def test_every_reason_not_to_run_a_block_is_used():
    text = "".join(b.text for page in PAGES for b in blocks_of(page))
    for word in (*NOT_RUN, *map(re.escape, ELSEWHERE), *FOR_A_SCHEDULER):
        assert re.search(word, text), f"no block needs {word!r}: remove it"
