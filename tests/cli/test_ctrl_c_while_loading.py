"""A Ctrl-C or SIGTERM that Python drops, as it falls into a callback of C, ends the command all the same."""

import ctypes
import os
import signal
import sys
import time

import pytest

from ase_schnet import cli

CALLBACK = ctypes.CFUNCTYPE(None)


@pytest.mark.skipif(os.name == "nt", reason="Unix signals")
def test_ctrl_c_in_a_callback_of_c_ends_the_command(monkeypatch, capsys):
    def interrupted():
        os.kill(
            os.getpid(), signal.SIGTERM
        )  # SIGINT is ignored in jobs that a shell has put behind
        time.sleep(0.01)  # here Python raises KeyboardInterrupt, and ctypes drops it

    def load(_):
        CALLBACK(interrupted)()
        for _ in range(500):
            time.sleep(0.01)
        return 0

    monkeypatch.setattr("ase_schnet.cli.doctor.run", load)
    before = sys.unraisablehook
    begun = time.monotonic()
    assert cli.main(["doctor"]) == 130
    assert time.monotonic() - begun < 4
    assert "stopped" in capsys.readouterr().err
    assert sys.unraisablehook is before
