"""Reports as their tests read them."""

import json
import re
from pathlib import Path

from ase_schnet.report.page import Page


def json_of(html: str, name: str) -> dict:
    """Return the JSON that stands in the script element of this id."""
    (text,) = re.findall(
        rf'<script type="application/json" id="{re.escape(name)}">(.*?)</script>', html, re.DOTALL
    )
    return json.loads(text)


def outcomes(page: Page) -> dict[str, str]:
    return {verdict.about: verdict.outcome for verdict in page.verdicts}


def files_below(directory: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}
