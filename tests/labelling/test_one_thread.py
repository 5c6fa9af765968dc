"""A calculation has one thread, and what there was before comes back, also after overlapping ones."""

import threading

import pytest
from ase.build import molecule
from tblite.ase import TBLite
from threadpoolctl import ThreadpoolController

from ase_schnet import read_reference
from ase_schnet.labelling.threads import one_thread


def counts(user_api):
    libraries = ThreadpoolController().select(user_api=user_api)
    return [library["num_threads"] for library in libraries.info()]


def test_overlapping_calculations_leave_the_threads_as_they_were():
    read_reference("gfn2-xtb").calculator()
    with ThreadpoolController().limit(limits=2):
        before = counts("blas")
        assert 2 in before  # some libraries cannot have more than one
        entered, left = threading.Event(), threading.Event()

        def second():
            with one_thread("tblite"):
                entered.set()
                left.wait(30)

        other = threading.Thread(target=second)
        with one_thread("tblite"):
            other.start()
            entered.wait(30)
            assert set(counts("openmp")) == {1}
        assert set(counts("blas")) == {1}  # the second one still runs
        assert 2 in counts("openmp")  # not in this thread
        left.set()
        other.join()
        assert counts("blas") == before


@pytest.mark.parametrize("text", ["gfn2-xtb", "pyscf:PBE/sto-3g"])
def test_the_calculators_evaluate_with_one_thread(text, monkeypatch):
    seen = []
    calculator = read_reference(text).calculator()
    engine, name = (TBLite, "calculate") if text == "gfn2-xtb" else (type(calculator), "_solve")
    original = getattr(engine, name)

    def watched(*arguments):
        seen.extend(counts("openmp") + counts("blas"))
        return original(*arguments)

    monkeypatch.setattr(engine, name, watched)
    with ThreadpoolController().limit(limits=2):
        calculator.get_potential_energy(molecule("H2"))
    assert set(seen) == {1}
