"""Write a report: find what lies at a path, collect what there is to say, put it into one file."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ase_schnet import __version__
from ase_schnet.data.dataset import Dataset
from ase_schnet.learning.reading import is_learning
from ase_schnet.model_directories import CARD, shipped_models
from ase_schnet.report.of_learning import learning_page
from ase_schnet.report.of_model import model_page
from ase_schnet.report.of_replicas import replicas_page
from ase_schnet.report.of_run import run_page
from ase_schnet.report.of_scan import scan_page
from ase_schnet.report.page import Page, Verdict
from ase_schnet.report.viewer import require_viewer
from ase_schnet.runs.record import RUN_FILE, no_run, replicas_in
from ase_schnet.runtime.files import write_whole
from ase_schnet.scan import ScanMap, ScanResult
from ase_schnet.scan.reading import is_scan_table, read_scan, structures_beside

Source = str | Path | ScanResult | ScanMap


@dataclass(frozen=True)
class Report:
    """Hold a report that was written.

    Attributes
    ----------
    path
        The file.
    verdicts
        What stands first in it.
    """

    path: Path
    verdicts: tuple[Verdict, ...]

    def __str__(self) -> str:
        return "\n".join(map(str, self.verdicts))


def write_report(
    source: Source,
    output: str | Path = "report.html",
    *,
    data: Dataset | None = None,
    frames: str | Path | None = None,
    structures: bool = True,
) -> Report:
    """Write one page about a run, a model, a scan or a learning, which opens in a browser without a network.

    Verdicts stand first, then pictures, then structures to click through in chemiscope.

    Parameters
    ----------
    source
        A run directory, or that of replicas, a model directory or the name of a shipped model, the table
        (.csv) of a scan, the directory of a learning, or the result of a scan.
    output
        File to write.
    data
        Labelled structures to hold a model against: parity, calibration, and those on which it errs most.
    frames
        Structures of a scan that is given as a table; None: the .xyz or .extxyz file of the same name, if
        there is one.
    structures
        Whether structures can be clicked through, which needs chemiscope and makes the file 3 MB larger.

    Returns
    -------
    Report
        The file, and the verdicts in it.

    Raises
    ------
    ValueError
        If there is nothing to report on, it is damaged, an argument does not belong to it, chemiscope is
        missing, or the file is not named as a page.
    CannotWrite
        If the file cannot be written; an OSError.
    """
    if Path(output).suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"a report is a page for a browser: {output} must end in .html")
    page = page_of(source, data=data, frames=frames, structures=structures)
    made = f"Written by ase_schnet {__version__} on {datetime.now(UTC):%Y-%m-%d %H:%M} UTC."
    write_whole(Path(output), page.html(made).encode())
    return Report(Path(output), tuple(page.verdicts))


def page_of(
    source: Source,
    *,
    data: Dataset | None = None,
    frames: str | Path | None = None,
    structures: bool = True,
) -> Page:
    """Collect the page that `write_report` writes; arguments and errors are the same."""
    # a model has no structures of its own
    if structures and not (data is None and _is_model(source)):
        require_viewer()
    if isinstance(source, (ScanResult, ScanMap)):
        _refuse("a scan", data=data, frames=frames)
        return scan_page(source, "from Python", structures=structures)
    path = Path(source)
    if path.is_file():
        _refuse("a scan", data=data)
        if not is_scan_table(path):
            hint = (
                f". Of labelled structures give their model: ase-schnet report MODEL --data {path}"
            )
            raise ValueError(f"{path} is {_EXPECTED}{hint}")
        frames = structures_beside(path) if frames is None and structures else frames
        return scan_page(read_scan(path, frames), str(path.resolve()), structures=structures)
    _refuse("a run, model or learning", frames=frames)
    if (path / RUN_FILE).is_file():
        _refuse("a run", data=data)
        return run_page(path, structures=structures)
    if replicas_in(path):
        _refuse("replicas", data=data)
        return replicas_page(path, structures=structures)
    if is_learning(path):
        return learning_page(path, data, structures=structures)
    if not _is_model(source) and any(path.glob(f"*/{RUN_FILE}")):
        raise ValueError(no_run(path, "it has no run.json"))  # which names one of them
    if _is_model(source) or path.is_dir():
        return model_page(source, data, structures=structures)
    shipped = ", ".join(shipped_models())
    raise ValueError(f"there is no {source}: give {_KINDS} (shipped models: {shipped})")


_KINDS = (
    "a run directory, a model directory, the .csv table of a scan, or the directory of replicas or of a "
    "learning"
)
_EXPECTED = f"nothing to report on: give {_KINDS}"


def _is_model(source: Source) -> bool:
    """Return whether there is a model, and nothing more, at a path or of this name."""
    if isinstance(source, (ScanResult, ScanMap)) or is_learning(Path(source)):
        return False
    return (Path(source) / CARD).is_file() or source in shipped_models()


def _refuse(kind: str, **given: object) -> None:
    for name, value in given.items():
        if value is not None:
            belongs = "a model or a learning" if name == "data" else "the table of a scan"
            raise ValueError(f"{name}= belongs to {belongs}, not to {kind}: leave it out")
