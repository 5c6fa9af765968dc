"""What is left between a converted network and its maker is the maker's ln 2, which float32 rounded."""

import pytest

from ase_schnet.inference import torch_ensemble
from ase_schnet.schnet_config import LOG2
from benchmarks.foreign.compare import TESTS
from benchmarks.foreign.ln2 import differences


@pytest.mark.parametrize("kind", ["pyg", "graph-pes"])
def test_with_the_constant_of_its_maker_a_network_is_equal_to_the_last_digits(kind):
    found = differences(TESTS / kind)
    ours, theirs = found["ln 2"], found["ln 2 in float32"]
    assert 1e-9 < ours["energy_eV"] < 1e-7
    assert 1e-9 < ours["forces_eV_per_Ang"] < 1e-7
    assert theirs["energy_eV"] < 5e-12  # a few spacings of 4200 eV
    assert theirs["forces_eV_per_Ang"] < 1e-13
    assert torch_ensemble.LOG2 == LOG2  # put back
