"""Where a server listens: a socket file, or a port of this computer."""

from __future__ import annotations

import re
import socket
from pathlib import Path

HOSTS = ("localhost", "127.0.0.1")
LONGEST = 103  # bytes of the path of a socket file; macOS takes the fewest
LARGEST = 64 * 1024**2  # bytes of a question or an answer, some 500,000 atoms


def parsed(address: str) -> tuple[int, str | tuple[str, int]]:
    """Return the family of an address, and what `socket.connect` takes.

    Raises
    ------
    ValueError
        For a port of another computer, which anybody could ask, and for a path that no system takes.
    """
    found = re.fullmatch(r"([^/\\]*):([^/\\]*)", address)
    if found:
        host, port = found[1], int(found[2]) if re.fullmatch("[0-9]{1,5}", found[2]) else 0
        if host not in HOSTS or not 0 < port < 65536:
            raise ValueError(
                f"{address} is not a port of this computer: say localhost:8888, or the path of a socket file"
            )
        return socket.AF_INET, ("127.0.0.1", port)
    if not hasattr(socket, "AF_UNIX"):
        raise ValueError(
            f"this system has no socket files: say localhost:8888 in place of {address}"
        )
    path = str(Path(address).absolute())
    if len(path.encode()) > LONGEST:
        raise ValueError(f"a socket file may have a path of {LONGEST} bytes, {path} is longer")
    return socket.AF_UNIX, path
