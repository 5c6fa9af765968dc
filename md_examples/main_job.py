"""The main job: dynamics with a verdict, and a scan of the potential energy surface, with models/ethanol.

python md_examples/main_job.py  (--quick: half a picosecond)
"""

import runpy
import sys
from pathlib import Path

HERE = Path(__file__).parent

nve = runpy.run_path(str(HERE / "2_nve_drift.py"))
print()
scan = runpy.run_path(str(HERE / "3_oh_scan.py"))
print()
outcome = nve["drift"].outcome
said = {"PASS": "was conserved", "FAIL": "was not conserved", "INCONCLUSIVE": "may be conserved"}
print(f"verdict: {outcome}, the energy {said[outcome]}")
print(f"pictures: {nve['figure']} and {scan['figure']}")
sys.exit(outcome != "PASS")
