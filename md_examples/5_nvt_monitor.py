"""Monitor three runs of ethanol: one at 300 K, one too hot for its model, one that collects frames.

    python md_examples/5_nvt_monitor.py  (--quick: shorter runs)

A model gives an answer for any structure. The monitor detects structures for which it is not reliable: by the
spread of its members, and by distances outside its training data.
"""

import shutil
import sys
from pathlib import Path

from ase.build import molecule
from ase.io import read
from ase.optimize import BFGS

from ase_schnet import Monitor, SchNetCalculator, SimulationStopped, drift, run_nvt
from ase_schnet.plotting import plot_drift, save_figure

OUTPUT = Path(__file__).parent / "output"
OUTPUT.mkdir(exist_ok=True)
TIME_PS = 0.1 if "--quick" in sys.argv else 5

start = molecule("CH3CH2OH")
start.calc = SchNetCalculator("ethanol")
BFGS(start, logfile=None).run(fmax=0.01)


def run(temperature_K, time_ps, name, monitor):
    """A fresh run from the relaxed molecule into output/<name>."""
    atoms = start.copy()
    atoms.calc = start.calc
    shutil.rmtree(OUTPUT / name, ignore_errors=True)
    options = {"temperature_K": temperature_K, "time_ps": time_ps, "run_dir": OUTPUT / name}
    return run_nvt(atoms, monitor=monitor, **options)


record = run(300, TIME_PS, "nvt_300K", Monitor("stop"))
figure = save_figure(plot_drift(record, drift(record)), OUTPUT / "nvt_300K.png")
print(f"300 K: {record.time_fs[-1] / 1000:g} ps, {record.temperature_K.mean():.0f} K on average")
print(f"picture: {figure}")

try:
    run(4000, 5, "nvt_4000K", Monitor("stop"))
except SimulationStopped as stopped:
    print(f"4000 K: {stopped}")

try:
    run(4000, 2, "nvt_collect", Monitor("collect", max_frames=20))
except SimulationStopped as stopped:
    print(f"4000 K, collecting: {stopped}")
frames = read(OUTPUT / "nvt_collect" / "collected.extxyz", ":")
print(
    f"collected for labelling: {len(frames)} frames; the first because of {frames[0].info['reason']}"
)
