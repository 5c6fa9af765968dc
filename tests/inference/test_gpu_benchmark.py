"""The script for GPUs runs, on the CPU as far as there is no GPU, and notices forces that differ."""

import pytest
import torch

from benchmarks import gpu

SMALL = ["--device", "cpu", "--cases", "ethanol", "--replicas", "3", "--rounds", "1"]


def keeping(rows, name):
    """Return the function of this name, which also puts its rows into a dictionary."""
    real = getattr(gpu, name)

    def measure(*arguments):
        rows[name] = real(*arguments)
        return rows[name]

    return measure


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """Return the exit code of a run, its page, and the rows by the function that measured them."""
    path, rows = tmp_path_factory.mktemp("gpu") / "gpu.md", {}
    with pytest.MonkeyPatch.context() as patch:
        for name in ("one_structure", "batched"):
            patch.setattr(gpu, name, keeping(rows, name))
        code = gpu.main([*SMALL, "-o", str(path)])
    return code, path.read_text(), rows


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`torch.jit.load` is deprecated")
def test_it_checks_and_measures_both_ways_to_a_device(measured):
    code, page, _ = measured
    assert code == 0
    rows = [line.split(" | ") for line in page.splitlines() if line[:2] == "| "][1:]
    assert {row[0].strip("| ") for row in rows} == {"ethanol", "3 × ethanol"}
    assert {row[1] for row in rows} == {
        *("compiled engine, CPU", "network of torch, cpu"),
        *("compiled engine, CPU, predict", "exported module, cpu"),
    }
    assert all(float(row[3]) > 0 for row in rows)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`torch.jit.load` is deprecated")
def test_forces_that_differ_fail_the_run(measured, tmp_path, monkeypatch, capsys):
    """The same rows held against a limit that they do not meet."""
    for name, rows in measured[2].items():
        monkeypatch.setattr(gpu, name, lambda *_, rows=rows: rows)
    monkeypatch.setattr(gpu, "prepare", lambda *_: None)
    monkeypatch.setattr(gpu, "LIMITS", {"float64": 1e-12, "float32": 1e-3})
    assert gpu.main([*SMALL, "-o", str(tmp_path / "gpu.md")]) == 1
    assert "float64: forces differ by" in capsys.readouterr().out


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so(capsys):
    assert gpu.main([]) == 2
    assert "finds no GPU" in capsys.readouterr().out
