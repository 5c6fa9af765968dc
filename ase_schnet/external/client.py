"""Ask a server (``ase-schnet serve``) for energies and gradients. Imports nothing but Python's own."""

from __future__ import annotations

import json
import socket
from pathlib import Path

from ase_schnet.external.address import LARGEST, parsed
from ase_schnet.external.question import Answer, Question

PATIENCE_S = 600.0  # for one answer, and all those before it


def answer_from(address: str, model: str, question: Question) -> Answer:
    """Return the answer of the server at `address`.

    Parameters
    ----------
    address
        Path of its socket file, or ``localhost:PORT``.
    model
        Shipped name or model directory; must be that of the server.
    question
        The structure, and what is wanted.

    Raises
    ------
    ValueError
        If no server is there, it serves another model, or it refuses the structure.
    RuntimeError
        If the server failed.
    """
    family, place = parsed(address)
    is_directory = (Path(model) / "model.json").exists()
    sent = {
        "model": str(Path(model).absolute()) if is_directory else model,
        "question": question._asdict(),
    }
    with socket.socket(family, socket.SOCK_STREAM) as connection:
        connection.settimeout(PATIENCE_S)
        try:
            connection.connect(place)
            with connection.makefile("rwb") as file:
                file.write(json.dumps(sent).encode() + b"\n")
                file.flush()
                line = file.readline(LARGEST)
        except OSError as error:
            raise ValueError(
                f"no server answers at {address} ({error.strerror or error}): start one with "
                f"ase-schnet serve {model} {address}"
            ) from None
    return _answer(address, line)


def _answer(address: str, line: bytes) -> Answer:
    """Return the answer in a line of a server; raise what it says instead of one."""
    if not line.endswith(b"\n"):
        raise ValueError(f"the server at {address} ended before it had answered: start it again")
    try:
        said = json.loads(line)
        if "answer" in said:
            return Answer(**said["answer"])
    except (ValueError, TypeError):
        raise ValueError(f"what answers at {address} is no server of ase-schnet") from None
    if "refused" in said:
        raise ValueError(str(said["refused"]))
    raise RuntimeError(f"the server at {address} failed: {said.get('failed', line)}")
