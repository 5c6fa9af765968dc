"""Texts that docstrings refer to can be opened: by DOI, arXiv, or docs/sources.md."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FILES = {path: path.read_text() for path in sorted((ROOT / "ase_schnet").rglob("*.py"))}


def test_no_file_refers_to_a_text_that_nobody_can_open():
    closed = re.compile(r"SCIENCE|implementation report|the notes|\(R[0-9]|pes_loss|papers/")
    found = [
        f"{path}: {line}"
        for path, text in FILES.items()
        for line in text.split("\n")
        if closed.search(line)
    ]
    assert not found


def test_what_is_looked_up_in_the_sources_is_there():
    headings = re.findall(r"^## (.+)$", (ROOT / "docs" / "sources.md").read_text(), re.MULTILINE)
    known = tuple(heading.casefold() for heading in headings)
    references = 0
    for path, text in FILES.items():
        flat = re.sub(r"\s+#?:? ?", " ", text).casefold()
        for match in re.finditer(r"docs/sources\.md, ", flat):
            references += 1
            assert flat.startswith(known, match.end()), f"{path}: {flat[match.start() :][:80]}"
    assert references > 5
