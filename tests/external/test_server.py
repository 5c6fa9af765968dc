"""A resident server answers as the commands do without one, at once, and says in one line what is wrong."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from ase.build import molecule
from ase.io import write
from ase.units import Bohr

from ase_schnet.cli import main
from ase_schnet.external.answer import Resident, answer_of
from ase_schnet.external.client import answer_from
from ase_schnet.external.question import Question
from ase_schnet.external.server import Server
from ase_schnet.modelfile import CARD, load_model, save_model

MODEL = "ethanol"
REQUEST = "job_EXT.xyz\n0\n1\n1\n1\n"
needs_files = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="needs socket files")


def ethanol(seed=1):
    atoms = molecule("CH3CH2OH")
    atoms.rattle(0.03, seed=seed)
    return atoms


def question(atoms, charge=0):
    symbols, positions = atoms.get_chemical_symbols(), atoms.positions.tolist()
    return Question(symbols, positions, "Ang", charge, 1, gradient=True, dipole=True)


@pytest.fixture(scope="module", params=["file", "port"])
def address(request, tmp_path_factory):
    if request.param == "port":
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            where = f"localhost:{free.getsockname()[1]}"
    elif hasattr(socket, "AF_UNIX"):
        where = str(tmp_path_factory.mktemp("server") / "ethanol.sock")
    else:
        pytest.skip("needs socket files")
    with Server(MODEL, where) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield where
        server.shutdown()
        thread.join()
    if request.param == "file":
        assert not Path(where).exists()


def requests(folder):
    """Write a request of each program; return their commands by the name of the answer."""
    atoms = ethanol()
    write(folder / "job_EXT.xyz", atoms, format="xyz")
    (folder / "job_EXT.extinp.tmp").write_text(REQUEST)
    rows = [f"{len(atoms):10d}{1:10d}{0:10d}{1:10d}"]
    for z, r in zip(atoms.numbers, atoms.positions / Bohr, strict=True):
        rows.append(f"{z:10d}" + "".join(f"{x:20.12f}" for x in (*r, 0.0)))
    (folder / "in").write_text("\n".join(rows) + "\n")
    files = [str(folder / name) for name in ("in", "out", "msg", "fchk", "mat")]
    return {
        "job_EXT.engrad": (["orca", str(folder / "job_EXT.extinp.tmp"), MODEL], []),
        "out": (["gaussian", MODEL], ["R", *files]),
    }


def test_files_are_those_of_the_commands_without_a_server(tmp_path, address):
    for name, (before, behind) in requests(tmp_path).items():
        written = []
        for said in ([], ["--server", address]):
            assert main([*before, *said, *behind]) == 0
            written.append((tmp_path / name).read_bytes())
            (tmp_path / name).unlink()
        assert written[0] == written[1]


def test_a_client_imports_neither_numpy_nor_ase_nor_torch(tmp_path, address):
    for name, (before, behind) in requests(tmp_path).items():
        words = [*before, "--server", address, *behind]
        code = (
            "import sys; from ase_schnet.cli import main; code = main(sys.argv[1:]); "
            "print(sorted({m.partition('.')[0] for m in sys.modules} "
            "& {'numpy', 'ase', 'scipy', 'numba', 'torch'})); sys.exit(code)"
        )
        ran = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True)
        assert ran.returncode == 0, ran.stderr
        assert ran.stdout.splitlines()[-1] == "[]"
        assert (tmp_path / name).exists()


def test_many_clients_at_once_get_their_own_answers(address):
    asked = [question(ethanol(seed)) for seed in range(12)]
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda q: answer_from(address, MODEL, q), asked))
    expected = [answer_of(MODEL, q) for q in asked]
    assert [a.energy for a in found] == [a.energy for a in expected]
    np.testing.assert_array_equal([a.gradient for a in found], [a.gradient for a in expected])
    np.testing.assert_array_equal([a.dipole for a in found], [a.dipole for a in expected])


def test_a_structure_unlike_the_training_is_warned_of_each_time(address):
    atoms = ethanol()
    atoms.set_distance(2, 3, 1.6, fix=0)
    for _ in range(2):
        answer = answer_from(address, MODEL, question(atoms))
        (warning,) = answer.warnings
        assert "outside what" in warning
        assert answer.dipole is None  # of ethanol alone
        assert answer_from(address, MODEL, question(ethanol())).warnings == []


def test_warnings_of_the_server_are_lines_of_the_client(tmp_path, address, capsys):
    (before, _) = requests(tmp_path)["job_EXT.engrad"]
    atoms = ethanol()
    atoms.set_distance(2, 3, 1.6, fix=0)
    write(tmp_path / "job_EXT.xyz", atoms, format="xyz")
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        assert main([*before, "--server", address]) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("warning: outside what")


@pytest.mark.parametrize(
    ("model", "charge", "reason"),
    [("silicon", 0, "this server has the model"), (MODEL, 1, "charge")],
)
def test_what_a_server_refuses(address, model, charge, reason):
    with pytest.raises(ValueError, match=reason):
        answer_from(address, model, question(ethanol(), charge))


def test_refusals_are_one_line(tmp_path, address, capsys):
    (before, _) = requests(tmp_path)["job_EXT.engrad"]
    (tmp_path / "job_EXT.extinp.tmp").write_text(REQUEST.replace("0\n", "1\n", 1))
    nobody = str(tmp_path / "none.sock")
    places = (
        (address, "charge"),
        ("elsewhere:8888", "not a port of this computer"),
        ("localhost:abc", "not a port of this computer"),  # and no file of that name
        ("localhost:", "not a port of this computer"),
        ("localhost:-1", "not a port of this computer"),
        (nobody, f"start one with ase-schnet serve ethanol {nobody}"),
    )
    for place, reason in places:
        assert main([*before, "--server", place]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert reason in line
    assert not (tmp_path / "job_EXT.engrad").exists()


@needs_files
def test_a_model_that_is_written_anew_is_loaded_anew(tmp_path, monkeypatch):
    monkeypatch.setattr("ase_schnet.external.answer.PATIENCE_S", 0.2)
    whole, place, asked = load_model(MODEL), str(tmp_path / "s.sock"), question(ethanol())
    model, lines = str(tmp_path / "model"), []
    save_model(model, whole.member(0))
    with Server(model, place, lines.append) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            assert answer_from(place, model, asked).energy == answer_of(model, asked).energy
            first = answer_of(model, asked).energy
            save_model(model, whole.member(1))
            second = answer_from(place, model, asked).energy
            assert second == answer_of(model, asked).energy != first
            assert lines == [f"{model} was written anew, and is loaded anew"]
            card = (tmp_path / "model" / CARD).read_bytes()
            (tmp_path / "model" / CARD).unlink()
            with pytest.raises(ValueError, match="not a complete model directory"):
                answer_from(place, model, asked)
            (tmp_path / "model" / CARD).write_bytes(
                card
            )  # the file is there again, the server lives
            assert answer_from(place, model, asked).energy == second
        finally:
            server.shutdown()
            thread.join()


def test_a_model_that_is_away_for_a_moment_is_waited_for(tmp_path):
    """As between the removal of a directory and the arrival of the next."""
    save_model(tmp_path / "model", load_model(MODEL).member(0))
    resident = Resident(str(tmp_path / "model"))
    before = resident.current()
    (tmp_path / "model").rename(tmp_path / "away")
    back = threading.Timer(0.3, lambda: (tmp_path / "away").rename(tmp_path / "model"))
    back.start()
    try:
        assert resident.current() is not before
    finally:
        back.join()


@needs_files
def test_a_server_follows_a_link_that_leads_to_another_model(tmp_path):
    whole, place, asked = load_model(MODEL), str(tmp_path / "s.sock"), question(ethanol())
    for k in (0, 1):
        save_model(tmp_path / f"model_{k}", whole.member(k))
    link = tmp_path / "latest"
    link.symlink_to("model_0")
    with Server(str(link), place) as server:
        first = server.resident.current().answer(asked).energy
        link.unlink()
        link.symlink_to("model_1")
        assert server.resident.current().answer(asked).energy != first
        line = json.dumps({"model": str(tmp_path / "model_0"), "question": asked._asdict()})
        assert "this server has the model" in server.reply(line.encode())["refused"]


def test_what_is_no_question_is_refused_and_the_server_lives(address):
    host, _, port = address.partition(":")
    family = socket.AF_INET if port else socket.AF_UNIX
    place = (host, int(port)) if port else address
    lines = (b"GET / HTTP/1.1", b"{}", b'{"question": {"a": 1}, "model": "ethanol"}', b"\xff")
    with socket.socket(family, socket.SOCK_STREAM) as client:
        client.connect(place)
        with client.makefile("rwb") as file:
            for line in lines:
                file.write(line + b"\n")
                file.flush()
                assert "no question" in json.loads(file.readline())["refused"]
    assert answer_from(address, MODEL, question(ethanol())).energy < -100


def test_a_fault_is_told_from_a_refusal(address, capsys):
    asked = question(ethanol())._replace(positions=[[0.0, 0.0]])
    with pytest.raises(RuntimeError, match="failed"):
        answer_from(address, MODEL, asked)


def test_what_answers_something_else_is_no_server():
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]

        def greet():
            connection, _ = other.accept()
            with connection:
                connection.recv(100000)
                connection.sendall(b"220 mail\n")

        thread = threading.Thread(target=greet)
        thread.start()
        with pytest.raises(ValueError, match="no server of ase-schnet"):
            answer_from(f"localhost:{port}", MODEL, question(ethanol()))
        thread.join()


@pytest.mark.parametrize("sent", [b"", b'{"answer": {"energy": -15'])
def test_a_server_that_is_killed_while_it_answers_is_said_to_have_been(sent):
    with socket.create_server(("127.0.0.1", 0)) as dying:

        def die():
            connection, _ = dying.accept()
            with connection:
                connection.recv(100000)
                connection.sendall(sent)

        thread = threading.Thread(target=die)
        thread.start()
        with pytest.raises(ValueError, match="ended before it had answered: start it again"):
            answer_from(f"localhost:{dying.getsockname()[1]}", MODEL, question(ethanol()))
        thread.join()


@needs_files
def test_of_two_servers_that_begin_at_once_the_first_is_left_alone(tmp_path, monkeypatch):
    """The second removed the socket file of the first, which nobody could ask then."""
    path = tmp_path / "a.sock"
    with Server(MODEL, str(path)):
        # it looked before the first was there
        monkeypatch.setattr("ase_schnet.external.server._remove_what_died", lambda file: None)
        with pytest.raises(ValueError, match="no server can listen at"):
            Server(MODEL, str(path))
        assert path.exists()


@needs_files
def test_a_socket_of_the_dead_is_replaced_and_nothing_else(tmp_path):
    path = tmp_path / "a.sock"
    dead = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    dead.bind(str(path))
    dead.close()  # as after a kill, its file stays
    with Server(MODEL, str(path)):
        assert path.stat().st_mode & 0o077 == 0
        with pytest.raises(ValueError, match="another server listens"):
            Server(MODEL, str(path))
    path.write_text("mine")
    with pytest.raises(ValueError, match="no socket"):
        Server(MODEL, str(path))
    assert path.read_text() == "mine"
    with pytest.raises(ValueError, match="bytes"):
        Server(MODEL, str(tmp_path / ("x" * 200)))


@needs_files
@pytest.mark.skipif(os.name == "nt", reason="Unix signals")
def test_the_command_serves_until_it_is_terminated(tmp_path):
    path = tmp_path / "a.sock"
    command = [sys.executable, "-m", "ase_schnet", "serve", MODEL, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline().startswith(f"ethanol is served at {path}")
        assert answer_from(str(path), MODEL, question(ethanol())).seconds < 1.0
        process.send_signal(signal.SIGTERM)
        assert process.stdout.read() == "ended\n"
    assert process.returncode == 0
    assert not path.exists()


def test_a_server_that_cannot_begin_says_so_in_one_line(tmp_path, capsys):
    (tmp_path / "file").write_text("mine")
    for words in (["none", "a.sock"], [MODEL, str(tmp_path / "file")], [MODEL, "host:1"]):
        assert main(["serve", *words]) == 2
        assert capsys.readouterr().err.count("\n") == 1
