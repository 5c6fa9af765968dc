"""The script for GPUs runs, on the CPU as far as there is no GPU, and notices forces that differ."""

import pytest
import torch

from benchmarks import gpu


@pytest.fixture(scope="module")
def small():
    return ["--device", "cpu", "--cases", "ethanol", "--replicas", "3", "--rounds", "1"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`torch.jit.load` is deprecated")
def test_it_checks_and_measures_both_ways_to_a_device(small, tmp_path):
    path = tmp_path / "gpu.md"
    assert gpu.main([*small, "-o", str(path)]) == 0
    rows = [line.split(" | ") for line in path.read_text().splitlines() if line[:2] == "| "][1:]
    assert {row[0].strip("| ") for row in rows} == {"ethanol", "3 × ethanol"}
    assert {row[1] for row in rows} == {
        *("compiled engine, CPU", "network of torch, cpu"),
        *("compiled engine, CPU, predict", "exported module, cpu"),
    }
    assert all(float(row[3]) > 0 for row in rows)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`torch.jit.load` is deprecated")
def test_forces_that_differ_fail_the_run(small, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(gpu, "LIMITS", {"float64": 1e-12, "float32": 1e-3})
    assert gpu.main([*small, "-o", str(tmp_path / "gpu.md")]) == 1
    assert "float64: forces differ by" in capsys.readouterr().out


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so(capsys):
    assert gpu.main([]) == 2
    assert "finds no GPU" in capsys.readouterr().out
