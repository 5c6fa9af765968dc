"""Set frames of a run aside, to be labelled, in an extxyz file that survives a kill."""

import io
import re
from pathlib import Path

from ase import Atoms
from ase.io import write

from ase_schnet.runtime.files import flush_to_disk
from ase_schnet.structures.electrons import electrons_in
from ase_schnet.structures.old_results import without_results

COLLECTED_FILE = "collected.extxyz"


class CollectedFrames:
    """Append frames to ``collected.extxyz`` of a run directory.

    A frame has positions, cell and momenta, ``forces_std`` (N, 3) in eV/Å, and in ``info`` ``step``,
    ``time_fs``, ``energy_std`` (eV), ``reason``, and the charge and multiplicity that the structure states.
    It has no energy and no forces: those come from a reference method, and the model's own must not be
    mistaken for labels.

    Parameters
    ----------
    directory
        Run directory. Frames beyond ``step``, and one cut short by a kill, are dropped.
    step
        From which the run goes on; 0 at its start.

    Attributes
    ----------
    n_frames
        Number of frames in the file.
    last_time_fs
        Time of the last frame, fs; None where there is none.
    """

    def __init__(self, directory: Path, step: int):
        self.path = directory / COLLECTED_FILE
        self.n_frames, self.last_time_fs = 0, None
        if self.path.exists():
            self._cut_back(step)

    def append(self, atoms: Atoms, step: int, time_fs: float, reason: str) -> None:
        """Append the atoms with the uncertainties of their calculator, and flush to the disk."""
        results = getattr(atoms.calc, "results", {})
        frame = atoms.copy()
        # such as bars in the file that the run began with
        frame.arrays = without_results(frame.arrays)
        frame.info = {"step": step, "time_fs": float(time_fs), "reason": reason}
        frame.info |= electrons_in(atoms.info)
        if "energy_std" in results:
            frame.info["energy_std"] = float(results["energy_std"])
        if "forces_std" in results:
            frame.arrays["forces_std"] = results["forces_std"].copy()
        text = io.StringIO()
        write(text, frame, format="extxyz")
        with self.path.open("a", encoding="utf-8") as file:
            file.write(text.getvalue())
        flush_to_disk(self.path)
        self.n_frames, self.last_time_fs = self.n_frames + 1, time_fs

    def _cut_back(self, step: int) -> None:
        with self.path.open("r+b") as file:
            end = 0
            while True:
                count = file.readline().strip()
                found = re.search(rb"\bstep=(\d+) time_fs=(\S+)", file.readline())
                # A frame is on the disk before a restart point beyond it is: none to keep is cut.
                if found is None or int(found[1]) > step:
                    break
                for _ in range(int(count)):
                    file.readline()
                end = file.tell()
                self.n_frames, self.last_time_fs = self.n_frames + 1, float(found[2])
            file.truncate(end)
