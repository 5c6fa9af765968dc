"""The main job: dynamics with a verdict, and a cut of the potential energy surface, with models/ethanol.

python md_examples/main_job.py
"""

import runpy
import sys
from pathlib import Path

HERE = Path(__file__).parent

nve = runpy.run_path(str(HERE / "2_nve_drift.py"))
print()
scan = runpy.run_path(str(HERE / "3_oh_scan.py"))
print()
passed = nve["drift"].passed
print(
    f"verdict: {'PASS' if passed else 'FAIL'}, the energy was {'' if passed else 'not '}conserved"
)
print(f"pictures: {nve['figure']} and {scan['figure']}")
sys.exit(0 if passed else 1)
