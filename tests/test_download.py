"""The fetching of files, against a real server on this machine, and the stage around it."""

import contextlib
import hashlib
import io
import json
import os
import shutil
import socket
import subprocess
import sys
import tarfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from stages import download as stage
from stages.core.base.errors import UserError
from stages.core.config import code
from stages.core.data import store
from stages.core.data.fetch import fetch, held
from stages.core.data.formats import digest

CONTENT = bytes(range(256)) * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """Every path is one way in which a server can behave."""

    def do_GET(self):
        self.server.requests.append(self.path)
        with contextlib.suppress(OSError):  # the client may have hung up
            getattr(self, self.path.strip("/"))()

    def answer(self, content: bytes, length: int | None = None, status: int = 200, headers: dict | None = None):
        self.send_response(status)
        for key, value in {"Content-Length": len(content) if length is None else length, **(headers or {})}.items():
            self.send_header(key, str(value))
        self.end_headers()
        self.wfile.write(content)

    def good(self):
        self.answer(CONTENT)

    def compressing(self):
        """Takes any archive for a compressed page if the client lets it."""
        wrapped = "gzip" in self.headers.get("Accept-Encoding", "")
        self.answer(CONTENT, headers={"Content-Encoding": "gzip"} if wrapped else None)

    def truncated(self):
        self.answer(CONTENT[:-1000], length=len(CONTENT))

    def short(self):
        self.answer(CONTENT[:-1])

    def wrong_byte(self):
        self.answer(CONTENT[:-1] + b"x")

    def page(self):
        self.answer(b"<html>Please log in</html>", headers={"Content-Type": "text/html"})

    def missing(self):
        self.answer(b"", status=404)

    def broken(self):
        self.answer(b"", status=500)

    def redirected(self):
        self.answer(b"", status=302, headers={"Location": "/good"})

    def redirected_elsewhere(self):
        self.answer(b"", status=302, headers={"Location": "/page"})

    def circle(self):
        self.answer(b"", status=302, headers={"Location": "/circle"})

    def silent(self):
        self.server.done.wait(10)

    def trickle(self):
        self.answer(b"", length=len(CONTENT))
        while not self.server.done.wait(0.02):
            self.wfile.write(b"x")

    def endless(self):
        self.send_response(200)
        self.end_headers()
        try:
            while not self.server.done.is_set():
                self.wfile.write(CONTENT)
                self.server.sent += len(CONTENT)
        except OSError:
            self.server.hung_up.set()

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def server():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads, server.requests, server.sent = True, [], 0
    server.done, server.hung_up = threading.Event(), threading.Event()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.done.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def wanted(server):
    def described(*ways: str) -> dict:
        urls = [f"http://127.0.0.1:{server.server_port}/{way}" for way in ways]
        return {"name": "file.bin", "sha256": SHA256, "bytes": len(CONTENT), "urls": urls}

    return described


def test_a_good_file_is_kept_under_its_name(wanted, tmp_path):
    assert fetch([wanted("good")], tmp_path / "new" / "folder") == {"file.bin": CONTENT}
    assert [path.name for path in (tmp_path / "new" / "folder").iterdir()] == ["file.bin"]
    assert (tmp_path / "new" / "folder" / "file.bin").read_bytes() == CONTENT


def test_a_redirect_to_the_file_is_followed(wanted, tmp_path):
    assert fetch([wanted("redirected")], tmp_path)["file.bin"] == CONTENT


def test_no_compression_on_the_way_is_asked_for(wanted, tmp_path):
    assert fetch([wanted("compressing")], tmp_path)["file.bin"] == CONTENT


@pytest.mark.parametrize(
    ("way", "reason"),
    [
        ("truncated", "broke off"),
        ("short", "255999 bytes instead of 256000"),
        ("wrong_byte", "wrong content"),
        ("page", "26 bytes instead of 256000"),
        ("missing", "HTTP 404"),
        ("broken", "HTTP 500"),
        ("redirected_elsewhere", "26 bytes instead of 256000"),
        ("circle", "redirects"),
        ("silent", "no answer in time"),
        ("trickle", "too slow"),
        ("endless", "more than the expected 256000 bytes"),
    ],
)
def test_nothing_wrong_is_accepted(wanted, tmp_path, way, reason):
    started = time.monotonic()
    with pytest.raises(UserError) as error:
        fetch([wanted(way)], tmp_path, timeout=0.3, slowest=1e7)
    assert time.monotonic() - started < 120
    assert list(tmp_path.iterdir()) == []
    for part in ("file.bin", f"/{way}: ", reason, SHA256, "REGBENCH_MIRROR"):
        assert part in str(error.value)
    assert "\n" not in str(error.value)


def test_an_endless_answer_is_cut_off(server, wanted, tmp_path):
    server.sent = 0
    server.hung_up.clear()
    with pytest.raises(UserError):
        fetch([wanted("endless")], tmp_path)
    assert server.hung_up.wait(3)
    assert server.sent < 40e6  # what fits into the sockets' buffers


def test_a_server_that_does_not_exist_is_named(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/x"
    with pytest.raises(UserError, match=r"/x: no connection;"):
        fetch([{"name": "file.bin", "sha256": SHA256, "bytes": 1, "urls": [url]}], tmp_path)


def test_addresses_are_tried_in_turn(server, wanted, tmp_path):
    server.requests.clear()
    assert fetch([wanted("missing", "wrong_byte", "good", "broken")], tmp_path)["file.bin"] == CONTENT
    assert server.requests == ["/missing", "/wrong_byte", "/good"]


def test_every_failed_address_is_named(wanted, tmp_path):
    with pytest.raises(UserError, match=r"/missing: HTTP 404.*/page: 26 bytes"):
        fetch([wanted("missing", "page")], tmp_path)


def test_a_file_that_is_there_is_not_fetched_again(server, wanted, tmp_path):
    (tmp_path / "file.bin").write_bytes(CONTENT)
    before = (tmp_path / "file.bin").stat().st_mtime_ns
    server.requests.clear()
    assert fetch([wanted("good")], tmp_path)["file.bin"] == CONTENT
    assert server.requests == []
    assert (tmp_path / "file.bin").stat().st_mtime_ns == before


@pytest.mark.parametrize("present", [b"", CONTENT[:-1], CONTENT + b"x", CONTENT[:-1] + b"x"])
def test_a_wrong_file_is_replaced(wanted, tmp_path, present):
    (tmp_path / "file.bin").write_bytes(present)
    assert held(wanted("good"), tmp_path) is None
    fetch([wanted("good")], tmp_path)
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


def test_the_progress_bar_shows_only_when_asked_for(wanted, tmp_path, capsys):
    fetch([wanted("good")], tmp_path / "quiet")
    assert capsys.readouterr().err == ""
    fetch([wanted("good")], tmp_path / "live", progress=True)
    assert "file.bin: 100%" in capsys.readouterr().err


class TestMirror:
    @pytest.fixture(autouse=True)
    def no_sockets(self, monkeypatch):
        def refuse(*args, **kwargs):
            raise AssertionError("a socket was opened")

        monkeypatch.setattr(socket, "socket", refuse)
        monkeypatch.setattr(socket, "create_connection", refuse)

    @pytest.fixture
    def file(self):
        return {"name": "file.bin", "sha256": SHA256, "bytes": len(CONTENT), "urls": ["http://127.0.0.1:9/file.bin"]}

    def test_its_file_is_copied(self, file, tmp_path):
        (tmp_path / "file.bin").write_bytes(CONTENT)
        assert fetch([file], tmp_path / "data", tmp_path) == {"file.bin": CONTENT}
        assert (tmp_path / "data" / "file.bin").read_bytes() == CONTENT

    @pytest.mark.parametrize("content", [b"", CONTENT[:-1], CONTENT + b"x", CONTENT[:-1] + b"x"])
    def test_its_file_is_checked_too(self, file, tmp_path, content):
        (tmp_path / "file.bin").write_bytes(content)
        with pytest.raises(UserError, match=SHA256):
            fetch([file], tmp_path / "data", tmp_path)
        assert not (tmp_path / "data").exists()

    def test_a_file_that_it_lacks_is_named(self, file, tmp_path):
        with pytest.raises(UserError, match=r"cannot get file\.bin: .*file\.bin: no such file; expected"):
            fetch([file], tmp_path / "data", tmp_path / "nothing")

    def test_a_file_without_address_comes_only_from_it(self, file, tmp_path):
        with pytest.raises(UserError, match=r"no public address.*REGBENCH_MIRROR.*shapes/file\.bin"):
            fetch([{**file, "urls": []}], tmp_path / "shapes")


TABLE = b"".join(b" %d %d %.1f\n" % (i, i * i % 7, i / 2) for i in range(10))
CONFIGURATION = f"""
name: lines
title: Lines
format: table
shape: [2]
scale: null
classes: null
files:
  - {{name: lines.txt, sha256: {hashlib.sha256(TABLE).hexdigest()}, bytes: {len(TABLE)}, urls: []}}
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A working folder with one small data set and a mirror that has it."""
    for path, content in {"conf/dataset/lines.yaml": CONFIGURATION.encode(), "mirror/lines/lines.txt": TABLE}.items():
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).write_bytes(content)
    (tmp_path / "params.yaml").write_text("device: cpu\nstudies: {s: {dataset: lines, seeds: 1}}\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("REGBENCH_MIRROR", "mirror")
    return tmp_path


def run_stage(monkeypatch) -> None:
    monkeypatch.setattr(sys, "argv", ["download"])
    stage.main()


def test_the_stage_writes_the_data_sheet(project, monkeypatch, capsys):
    run_stage(monkeypatch)
    text = (project / "results/datasets/lines.json").read_text()
    sheet = json.loads(text)
    assert sheet["files"] == [{"name": "lines.txt", "bytes": len(TABLE), "sha256": hashlib.sha256(TABLE).hexdigest()}]
    assert {name: array["shape"] for name, array in sheet["arrays"].items()} == {"train_x": [10, 2], "train_y": [10]}
    assert sheet["digest"] == digest(store.load(store.published("lines")))
    assert str(project) not in text and "mirror" not in text
    assert capsys.readouterr().out.count("\n") == 1


def test_a_data_set_is_fetched_again_only_if_its_description_or_its_reader_changes(project, monkeypatch):
    sheet, path = project / "results/datasets/lines.json", project / "conf/dataset/lines.yaml"
    run_stage(monkeypatch)
    text = sheet.read_text()
    shutil.rmtree(project / "data")
    path.write_text(CONFIGURATION.replace("urls: []", "urls: ['https://example.org/lines.txt']") + "# a comment\n")
    run_stage(monkeypatch)
    assert sheet.read_text() == text and not (project / "data").exists()
    monkeypatch.setattr(code, "reader", lambda: "another")
    run_stage(monkeypatch)
    assert (project / "data").exists()
    assert json.loads(sheet.read_text())["digest"] == json.loads(text)["digest"]


def test_a_sheet_whose_digest_was_edited_is_made_again_and_one_that_no_study_uses_goes(project, monkeypatch):
    sheet = project / "results/datasets/lines.json"
    run_stage(monkeypatch)
    text = sheet.read_text()
    sheet.write_text(text.replace(json.loads(text)["digest"], "0" * 64))
    (sheet.parent / "other.json").write_text("{}")
    run_stage(monkeypatch)
    assert sheet.read_text() == text
    assert [path.name for path in sheet.parent.iterdir()] == ["lines.json"]


def test_an_unknown_data_set_lists_the_known_ones(project, monkeypatch):
    (project / "params.yaml").write_text("device: cpu\nstudies: {s: {dataset: nope, seeds: 1}}\n")
    with pytest.raises(UserError, match=r"no data set is called nope; known: lines"):
        run_stage(monkeypatch)


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("scale: null", "scale: zero", "scale"),
        ("urls: []", "urls: ['file:///etc/passwd']", "urls"),
        ("title", "titel", "titl?el?"),
    ],
)
def test_a_wrong_configuration_is_one_line(project, monkeypatch, old, new, named):
    path = project / "conf/dataset/lines.yaml"
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(UserError, match=rf"conf/dataset/lines\.yaml: .*{named}"):
        run_stage(monkeypatch)


def test_a_complete_folder_needs_neither_mirror_nor_lock_nor_configuration(project):
    dataset = store.published("lines")
    first = store.load(dataset, mirror=Path("mirror"))
    (project / "conf/dataset/lines.yaml").unlink()
    (project / "data/lines/.lock").unlink()
    assert digest(store.load(dataset)) == digest(first)
    assert not (project / "data/lines/.lock").exists()


def test_processes_that_load_at_once_all_get_the_data(project):
    command = (
        "from stages.core.data import formats, store; from pathlib import Path;"
        "print(formats.digest(store.load(store.published('lines'), mirror=Path('mirror'))))"
    )
    root = str(Path(__file__).parents[1])
    started = [
        subprocess.Popen(
            [sys.executable, "-c", command], env={**os.environ, "PYTHONPATH": root}, stdout=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    digests = {process.communicate(timeout=600)[0].strip() for process in started}
    assert digests == {digest(store.load(store.published("lines")))}
    assert sorted(path.name for path in (project / "data/lines").iterdir()) == [".lock", "lines.txt"]


class TestDecodedOnce:
    """Formats that take long to decode are kept as arrays beside their archive."""

    @pytest.fixture
    def dataset(self, project):
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w:gz") as tar:
            for name in ("data_batch_1.bin", "test_batch.bin"):
                member = tarfile.TarInfo(f"batches/{name}")
                member.size = 2 * 3073
                tar.addfile(member, io.BytesIO(np.full(member.size, 7, np.uint8).tobytes()))
        content = archive.getvalue()
        (project / "mirror/tiny").mkdir()
        (project / "mirror/tiny/tiny.tar.gz").write_bytes(content)
        file = {"name": "tiny.tar.gz", "sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content), "urls": []}
        values = {"format": "cifar_binary", "shape": [32, 32, 3], "scale": 255, "classes": 10, "files": [file]}
        text = json.dumps({"name": "tiny", "title": "Tiny", **values})
        (project / "conf/dataset/tiny.yaml").write_text(text)
        return store.published("tiny")

    def decoded(self, project) -> Path:
        (path,) = (project / "data/tiny").glob("decoded-*.npz")
        return path

    def test_the_second_load_decodes_nothing(self, project, dataset, monkeypatch):
        first = store.load(dataset, mirror=Path("mirror"))
        monkeypatch.setattr(store, "read", None)
        (project / "data/tiny/tiny.tar.gz").unlink()
        assert digest(store.load(dataset)) == digest(first)

    @pytest.mark.parametrize("damage", ["cut", "bit", "empty", "other"])
    def test_damaged_arrays_are_decoded_again(self, project, dataset, damage):
        first = store.load(dataset, mirror=Path("mirror"))
        path = self.decoded(project)
        whole = path.read_bytes()
        flipped = bytearray(whole)
        flipped[len(whole) // 2] ^= 1
        path.write_bytes({"cut": whole[:-500], "bit": bytes(flipped), "empty": b"", "other": b"hello"}[damage])
        assert digest(store.load(dataset)) == digest(first)
        assert path.read_bytes() == whole

    def test_another_archive_has_other_arrays(self, project, dataset):
        store.load(dataset, mirror=Path("mirror"))
        first = self.decoded(project).name
        other = dataset.model_copy(update={"files": [dataset.files[0].model_copy(update={"sha256": "0" * 64})]})
        assert store._decoded_path(other, Path("data")).name != first
