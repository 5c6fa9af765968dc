"""Errors as users see them: which ones this package raises on purpose, and any of them in one line."""

from __future__ import annotations

import dis

PACKAGE = __name__.partition(".")[0]
RAISE = dis.opmap["RAISE_VARARGS"]
#: Attribute that goes with an error to another process, where there is no traceback.
MARK = "_refused_by_ase_schnet"


def is_refusal(error: BaseException) -> bool:
    """Return whether a ``raise`` of this package made the error.

    Errors of numpy, ASE and the interpreter come from their own frames, or, if the function is compiled, from
    a call of ours that is no ``raise``. The code that ran is asked: its file may be another one by now.
    """
    known = getattr(error, MARK, None)
    if known is not None:
        return known
    trace = error.__traceback__
    if trace is None:
        return False
    while trace.tb_next is not None:
        trace = trace.tb_next
    frame = trace.tb_frame
    ours = frame.f_globals.get("__name__", "").partition(".")[0] == PACKAGE
    return ours and frame.f_code.co_code[trace.tb_lasti] == RAISE


def one_line(error: BaseException) -> str:
    """Return the text of an error without line breaks; other programs write several lines."""
    return " ".join(str(error).split())


def mark_refusal(error: BaseException) -> None:
    """Note in the error itself whether it is a refusal, before it is sent to another process."""
    setattr(error, MARK, is_refusal(error))
