"""Files of plain addresses against a server on this machine that knows ranges: cut, changed in between, packed, hostile."""

import hashlib
import io
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile

import pytest

from medrival import downloads
from medrival.downloads import download, take, unpack
from medrival.errors import MissingAsset

CONTENT = bytes(range(256)) * 4000


@dataclass
class Server:
    """Files by their paths.

    Attributes:
        breaks: how many answers end in the middle of what was asked for; `meanwhile` is called then.
        asked: what was asked for: path, range, and whose rest it must be.
        ranges: whether it knows them; `sized` whether it states lengths where it is only asked for the head.
        moved: paths that are redirected.
    """

    files: dict[str, bytes]
    breaks: int = 0
    meanwhile: Callable[[], object] = lambda: None
    asked: list[tuple[str, str | None, str | None]] = field(default_factory=list)
    ranges: bool = True
    sized: bool = True
    moved: dict[str, str] = field(default_factory=dict)
    url: str = ""


@pytest.fixture
def server(monkeypatch) -> Iterator[Server]:
    served = Server({"/weights.bin": CONTENT})

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self.send_response(200 if self.path in served.files else 404)
            self.send_header("Content-Length" if served.sized else "X-Nothing", str(len(served.files.get(self.path, b""))))
            self.end_headers()

        def do_GET(self) -> None:
            wanted, whose = self.headers.get("Range"), self.headers.get("If-Range")
            served.asked.append((self.path, wanted, whose))
            if self.path in served.moved or self.path not in served.files:
                self.send_response(302 if self.path in served.moved else 404)
                self.send_header("Location", served.moved.get(self.path, ""))
                self.send_header("Content-Length", "0")
                return self.end_headers()
            content = served.files[self.path]
            tag = f'"{hashlib.md5(content, usedforsecurity=False).hexdigest()}"'
            start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1]) if wanted and whose == tag and served.ranges else 0
            if start >= len(content):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(content)}")
                self.send_header("Content-Length", "0")
                return self.end_headers()
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            self.send_header("ETag", tag)
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            if not served.breaks:
                self.wfile.write(content[start:])
                return None
            served.breaks -= 1
            self.wfile.write(content[start : (start + len(content)) // 2])
            self.wfile.flush()
            self.close_connection = True
            served.meanwhile()
            return None

        def log_message(self, *arguments: object) -> None:
            pass

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listening.daemon_threads = True
    threading.Thread(target=listening.serve_forever, args=(0.02,), daemon=True).start()
    served.url = f"http://127.0.0.1:{listening.server_port}"
    monkeypatch.setattr(downloads, "SCHEMES", frozenset({"http"}))
    monkeypatch.setattr(downloads, "PAUSE_SECONDS", 0.0)
    yield served
    listening.shutdown()
    listening.server_close()


def zipped(**members: bytes) -> bytes:
    packed = io.BytesIO()
    with ZipFile(packed, "w", ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "/"), content)
    return packed.getvalue()


def files(folder) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_file_lands_under_its_name_with_its_hash_said_and_is_not_fetched_twice(server, tmp_path):
    said = take(f"{server.url}/weights.bin", ["model.bin"], tmp_path)
    assert (tmp_path / "model.bin").read_bytes() == CONTENT
    assert said == f"{server.url}/weights.bin -> {tmp_path}: model.bin (1.0 MB, sha256 {hashlib.sha256(CONTENT).hexdigest()})"
    assert take(f"{server.url}/weights.bin", ["model.bin"], tmp_path) == said
    assert len(server.asked) == 1


def test_a_connection_that_breaks_is_taken_up_where_it_broke(server, tmp_path):
    server.breaks = 3
    download(f"{server.url}/weights.bin", tmp_path / "here")
    assert (tmp_path / "here").read_bytes() == CONTENT
    starts = [int(wanted.removeprefix("bytes=").rstrip("-")) for _, wanted, _ in server.asked[1:]]
    assert starts == sorted(set(starts))
    assert starts[0] == len(CONTENT) // 2


def test_one_that_breaks_too_often_is_given_up_and_gone_on_with_by_the_next_fetch(server, tmp_path):
    server.breaks = downloads.ATTEMPTS
    with pytest.raises(MissingAsset, match=r"weights.bin: the connection broke 5 times .*fetch once more to go on"):
        take(f"{server.url}/weights.bin", ["model.bin"], tmp_path)
    assert not (tmp_path / "model.bin").exists()
    so_far = (tmp_path / ".cache" / "medrival" / "weights.bin.part").stat().st_size
    take(f"{server.url}/weights.bin", ["model.bin"], tmp_path)
    assert server.asked[-1][1] == f"bytes={so_far}-"
    assert files(tmp_path)["model.bin"] == CONTENT


@pytest.mark.parametrize("changed", [CONTENT[::-1], CONTENT[:1000], CONTENT + b"more"])
def test_a_file_that_changed_in_between_is_fetched_from_its_beginning(server, tmp_path, changed):
    server.breaks = 1
    server.meanwhile = lambda: server.files.update({"/weights.bin": changed})
    download(f"{server.url}/weights.bin", tmp_path / "here")
    assert (tmp_path / "here").read_bytes() == changed


def test_where_the_server_knows_no_ranges_the_whole_comes_again(server, tmp_path):
    server.breaks, server.ranges = 1, False
    download(f"{server.url}/weights.bin", tmp_path / "here")
    assert (tmp_path / "here").read_bytes() == CONTENT


def test_a_fetch_that_was_killed_when_all_had_come_fetches_nothing_again(server, tmp_path):
    tag = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()
    (tmp_path / "here.part").write_bytes(CONTENT)
    (tmp_path / "here.version").write_text(f'"{tag}"')
    download(f"{server.url}/weights.bin", tmp_path / "here")
    assert (tmp_path / "here").read_bytes() == CONTENT
    assert [wanted for _, wanted, _ in server.asked] == [f"bytes={len(CONTENT)}-"]


def test_of_an_archive_the_named_files_are_taken_and_nothing_else(server, tmp_path):
    server.files["/all.zip"] = zipped(deep__model__bin=b"no", **{"deep__model.bin": CONTENT, "readme": b"no", "../evil": b"no"})
    said = take(f"{server.url}/all.zip", ["model.bin"], tmp_path / "inner")
    assert {name for name in files(tmp_path) if ".cache" not in name} == {"inner/model.bin"}
    assert (tmp_path / "inner" / "model.bin").read_bytes() == CONTENT
    assert hashlib.sha256(CONTENT).hexdigest() in said
    assert not list(tmp_path.rglob("*.zip")), "the archive is not kept beside what came from it"


@pytest.mark.parametrize(
    ("members", "complaint"),
    [
        ({"../evil": b"x"}, r"its member '../evil' points outside the archive"),
        ({"/evil": b"x"}, r"its member '/evil' points outside the archive"),
        ({"a/evil": b"x", "b/evil": b"y"}, r"it has 2 files called evil"),
        ({"good": b"x"}, r"it has no files called evil"),
    ],
)
def test_an_archive_that_leads_out_of_itself_or_has_not_the_files_is_refused(server, tmp_path, members, complaint):
    server.files["/all.zip"] = zipped(**members)
    with pytest.raises(MissingAsset, match=rf"all.zip cannot be unpacked: {complaint}; it is deleted: fetch once more"):
        take(f"{server.url}/all.zip", ["evil"], tmp_path / "inner")
    assert [name for name in files(tmp_path) if "evil" in name or name.endswith(".zip")] == []


@pytest.mark.parametrize(
    ("method", "damage"),
    [
        (ZIP_STORED, lambda whole: whole[:-30]),
        (ZIP_STORED, lambda whole: whole.replace(CONTENT[:50], CONTENT[50:100], 1)),
        (ZIP_DEFLATED, lambda whole: whole[:39] + b"\xff" * 20 + whole[59:]),  # behind the header and the name: packed bytes
    ],
)
def test_a_damaged_archive_leaves_no_file(tmp_path, method, damage):
    packed = io.BytesIO()
    with ZipFile(packed, "w", method) as archive:
        archive.writestr("model.bin", CONTENT)
    (tmp_path / "all.zip").write_bytes(damage(packed.getvalue()))
    with pytest.raises(MissingAsset, match=r"all.zip cannot be unpacked"):
        unpack(tmp_path / "all.zip", ["model.bin"], tmp_path)
    assert set(files(tmp_path)) == {"all.zip"}


def test_a_dry_run_says_how_much_it_would_be_where_the_server_does_and_writes_nothing(server, tmp_path):
    told = {}
    for server.sized in (True, False):
        told[server.sized] = take(f"{server.url}/weights.bin", ["model.bin"], tmp_path / "inner", dry_run=True)
    start = f"{server.url}/weights.bin -> {tmp_path / 'inner'}: model.bin, "
    assert told == {True: f"{start}1.0 MB", False: f"{start}of unknown size"}
    assert files(tmp_path) == {}


def test_only_https_is_asked_also_where_an_address_is_redirected(server, tmp_path, monkeypatch):
    server.moved["/old"] = "ftp://127.0.0.1/weights.bin"
    with pytest.raises(MissingAsset, match=r"ftp://127.0.0.1/weights.bin"):
        download(f"{server.url}/old", tmp_path / "here")
    server.moved["/old"] = "/weights.bin"
    download(f"{server.url}/old", tmp_path / "here")
    monkeypatch.undo()
    asked = len(server.asked)
    with pytest.raises(MissingAsset, match=rf"{server.url}/weights.bin is not fetched: only https addresses are"):
        take(f"{server.url}/weights.bin", ["model.bin"], tmp_path)
    assert len(server.asked) == asked


def test_what_is_not_there_is_named_with_the_servers_answer(server, tmp_path):
    for dry_run in (False, True):
        with pytest.raises(MissingAsset, match=rf"{server.url}/nothing cannot be fetched: the server answers 404 Not Found"):
            take(f"{server.url}/nothing", ["model.bin"], tmp_path, dry_run=dry_run)
    with pytest.raises(MissingAsset, match=r"http://127.0.0.1:9/x cannot be fetched: .*refused"):
        take("http://127.0.0.1:9/x", ["model.bin"], tmp_path)
