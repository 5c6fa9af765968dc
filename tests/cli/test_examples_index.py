"""The index of the examples names each of them, and nothing else."""

import re
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parents[2] / "md_examples"


def test_every_example_is_in_the_index():
    index = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    linked = set(re.findall(r"\]\((\w[\w.]*)(?:/run\.py)?\)", index))
    there = {path.name for path in EXAMPLES.iterdir() if path.suffix in (".py", ".md", ".in")}
    there |= {path.name for path in EXAMPLES.iterdir() if (path / "run.py").is_file()}
    assert linked == there - {"README.md"}
