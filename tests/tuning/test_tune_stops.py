"""Real processes: one is killed and the next goes on, two share a search, Ctrl-C keeps what there is."""

import os
import signal
import time

import pytest
from forked import end, fork
from tuning_cases import POINTS, search

pytestmark = pytest.mark.slow
EPOCHS = 40  # of a training; half of them are a trial


@pytest.fixture(scope="module")
def quiet(tmp_path_factory):
    """The same search without disturbance, with trials long enough to be killed."""
    return search(tmp_path_factory.mktemp("quiet"), epochs=EPOCHS)


def scores(result):
    return {
        tuple(sorted(row.values.items())): row.score for row in result.rows if row.score is not None
    }


def wait_for(process, condition, said):
    deadline = time.monotonic() + 120
    while not condition():
        assert process.is_alive(), said.read_text()
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_killed_search_goes_on_and_tries_the_same_points(tmp_path, quiet):
    folder, said = tmp_path / "s", tmp_path / "said"
    for trial, number in (("0001", signal.SIGKILL), ("0002", signal.SIGINT)):
        process = fork(search, folder, 1, EPOCHS, said=said, OMP_NUM_THREADS="1")
        log = folder / "trials" / trial / "fold_1.csv"
        wait_for(process, lambda log=log: log.exists() and log.stat().st_size > 500, said)
        os.kill(process.pid, number)
        process.join(60)
        assert process.exitcode not in (0, None)
        end(process)
    before = {p: p.stat().st_mtime_ns for p in folder.glob("trials/0000/*.csv")}
    assert before
    result = search(folder, epochs=EPOCHS)
    assert before == {p: p.stat().st_mtime_ns for p in before}  # what had ended was let alone
    assert [row.values for row in result.rows] == [row.values for row in quiet.rows]
    assert scores(result) == scores(quiet)


def test_two_processes_share_a_search(tmp_path, quiet):
    folder = tmp_path / "s"
    both = [
        fork(search, folder, 1, EPOCHS, said=tmp_path / f"said{k}", OMP_NUM_THREADS="1")
        for k in range(2)
    ]
    for k, process in enumerate(both):
        process.join(180)
        assert process.exitcode == 0, (tmp_path / f"said{k}").read_text()
    assert len(list((folder / "sessions").glob("*.json"))) == 2
    result = search(folder, epochs=EPOCHS)  # nothing is left to do
    points = [tuple(sorted(row.values.items())) for row in result.rows]
    assert len(points) == len(set(points)) == len(POINTS["learning_rate"]) * 2
    found, expected = scores(result), scores(quiet)
    assert len(found) >= 5  # the sixth may end early
    assert all(found[point] == expected[point] for point in found.keys() & expected.keys())


def test_processes_that_are_started_for_it_find_the_same(tmp_path, quiet):
    result = search(tmp_path / "s", jobs=2, epochs=EPOCHS)
    found, expected = scores(result), scores(quiet)
    assert all(found[point] == expected[point] for point in found.keys() & expected.keys())
    assert len(result.rows) == 6
