"""A contestant's training loop behind a pipe: one JSON request a line on stdin, one answer a line on stdout.

    {"do": "setup", "data": NPZ, "features": 64, "batch": 32}       -> {}
    {"do": "epoch"}                                      -> {"structures": n, "seconds": s, "parts": {...}}

parts: seconds of the epoch by what they went into, where a contestant can tell.

The scripts run inside their own virtual environments: this file imports what all of them have.
"""

from __future__ import annotations

import json
import os
import sys

import numpy as np

EV = 23.060547830619026  # kcal/mol
STRUCTURES = 950


def frames(path: str):
    """950 frames of an rMD17 file: numbers (N,), positions (S, N, 3) Å, energies eV, forces eV/Å."""
    with np.load(path) as data:
        return (
            data["nuclear_charges"],
            data["coords"][:STRUCTURES],
            data["energies"][:STRUCTURES] / EV,
            data["forces"][:STRUCTURES] / EV,
        )


def serve(setup) -> None:
    """`setup(data, features, batch)` returns what trains one epoch: (structures, seconds, parts)."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a package prints goes to the log
    epoch = None
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if request.pop("do") == "setup":
                epoch = setup(**request)
                epoch()  # what is compiled or filled at first is not timed
                answer = {}
            else:
                structures, seconds, parts = epoch()
                answer = {"structures": structures, "seconds": seconds, "parts": parts}
        except Exception as error:  # told to the benchmark, which goes on without this contestant
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
