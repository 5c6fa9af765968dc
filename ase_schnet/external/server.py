"""A resident server: a model that is loaded once, and asked through a socket for energies and gradients.

A question is one line of JSON, ``{"model": ..., "question": {...}}``, and so is its answer,
``{"answer": {...}}``, ``{"refused": "why"}`` or ``{"failed": "why"}``. The fields are those of `Question` and
`Answer`. The server reads no file and writes none.
"""

from __future__ import annotations

import json
import os
import socket
import socketserver
import stat
import traceback
from collections.abc import Callable
from pathlib import Path

from ase.calculators.calculator import CalculatorSetupError

from ase_schnet.external.address import LARGEST, parsed
from ase_schnet.external.answer import Resident
from ase_schnet.external.question import Question
from ase_schnet.model_directories import shipped_models
from ase_schnet.runtime.refusals import is_refusal

SILENCE_S = 30.0  # a client that sends nothing for so long is left


class Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """Serve a model at an address, from the making of this object to `server_close`.

    Parameters
    ----------
    model
        Name of a shipped model, or a model directory.
    address
        Path of a socket file, which only this user can open, or ``localhost:PORT``.
    announce
        Takes a line when the model was written anew, and is loaded anew.

    Raises
    ------
    ValueError
        If another server is there, or a file that is no socket.
    ModelFileError
        If there is no such model.
    """

    daemon_threads = True
    allow_reuse_address = os.name != "nt"  # Windows would let two programs listen
    request_queue_size = 128

    def __init__(self, model: str, address: str, announce: Callable[[str], None] | None = None):
        self.address_family, place = parsed(address)
        self.resident = Resident(model, announce)
        file = Path(place) if isinstance(place, str) else None
        self._file: Path | None = None  # ours to remove; not that of another who came first
        if file is not None:
            _remove_what_died(file)
        before = os.umask(0o077)
        try:
            super().__init__(place, _Handler)
        except OSError as error:
            reason = error.strerror or str(error)
            raise ValueError(f"no server can listen at {address}: {reason}") from None
        finally:
            os.umask(before)
        self._file = file

    def server_close(self) -> None:
        """Stop listening, and remove the socket file."""
        super().server_close()
        if self._file is not None:
            self._file.unlink(missing_ok=True)

    def reply(self, line: bytes) -> dict:
        """Return what is answered to a line."""
        try:
            said = json.loads(line)
            question, model = Question(**said["question"]), str(said["model"])
        except (ValueError, TypeError, LookupError):
            return {"refused": "this is no question to a server of ase-schnet"}
        try:
            responder, directory = self.resident.current(), self.resident.written.directory
            if (shipped_models().get(model) or Path(model)).resolve() != directory:
                return {"refused": f"this server has the model {directory}, not {model}"}
            return {"answer": responder.answer(question)._asdict()}
        except CalculatorSetupError as error:
            return {"refused": str(error)}
        except Exception as error:
            if isinstance(error, ValueError) and is_refusal(error):
                return {"refused": str(error)}
            traceback.print_exception(error)
            return {"failed": f"{type(error).__name__}: {error}"}


class _Handler(socketserver.StreamRequestHandler):
    timeout = SILENCE_S
    server: Server

    def handle(self) -> None:
        """Answer the lines of one client until it leaves."""
        try:
            while line := self.rfile.readline(LARGEST):
                self.wfile.write(json.dumps(self.server.reply(line)).encode() + b"\n")
        except OSError:
            return  # it left, or said nothing for too long


def _remove_what_died(file: Path) -> None:
    """Remove the socket of a server that was killed. ValueError if one lives, or a file is in the way."""
    try:
        kind = file.stat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(kind):
        raise ValueError(f"{file} is there already and is no socket: give another path")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        try:
            connection.connect(str(file))
        except OSError:
            file.unlink()
            return
    raise ValueError(f"another server listens at {file}")


def serve(model: str, address: str, announce: Callable[[str], None]) -> None:
    """Serve a model until the process is stopped.

    Parameters
    ----------
    model
        Name of a shipped model, or a model directory.
    address
        Path of a socket file, or ``localhost:PORT``.
    announce
        Takes a line when clients may ask, and when the model was loaded anew.

    Raises
    ------
    ValueError
        As :class:`Server`.
    """
    with Server(model, address, announce) as server:
        announce(f"{model} is served at {address}; Ctrl-C or SIGTERM ends it")
        server.serve_forever()
