"""Files of https addresses, whole or absent: a broken download is gone on with, and of an archive only files are taken."""

from __future__ import annotations

import hashlib
import shutil
import time
import zlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from zipfile import BadZipFile, ZipFile, ZipInfo

from filelock import FileLock

from medrival.errors import MissingAsset, first_line
from medrival.files import write_atomically

if TYPE_CHECKING:
    import httpx2

SCHEMES = frozenset({"https"})
GONE = frozenset({404, 410})
ATTEMPTS = 5
"""Connections that may break before a download is given up, until the next fetch goes on with it."""
PAUSE_SECONDS = 1.0
BROKEN = (BadZipFile, zlib.error, EOFError, ValueError, RuntimeError, NotImplementedError)
"""What unpacking raises, in this order: it is no archive or a damaged one; its packed bytes are damaged, or end too soon;
`_member` refuses what is in it; it is encrypted; it is packed in a way that Python does not know."""
SECONDS_OF_SILENCE = 30.0


def take(url: str, names: Sequence[str], folder: Path, *, dry_run: bool = False) -> str:
    """Fetch a file, or some of a zip archive's, into a folder and say so with their sha256; in a dry run, how much it would be.

    Args:
        url: of the archive, if it ends in .zip, else of the one file.
        names: under which the files land; of an archive's the last part of their names in there.

    Raises:
        MissingAsset: it is not to be had, or the archive is damaged or does not have the files.
    """
    lacking = [name for name in names if not (folder / name).is_file()]
    try:
        if lacking and dry_run:
            return f"{url} -> {folder}: {', '.join(names)}, {_size(url)}"
        if lacking:
            _fetch(url, names, folder)
        return f"{url} -> {folder}: {', '.join(_told(folder / name) for name in names)}"
    except OSError as error:
        raise MissingAsset(f"{url} cannot be put into {folder}: {error}") from error


def download(url: str, target: Path) -> None:
    """Fetch a file whole. What an earlier attempt left is gone on with, where the server says that the file is still the same.

    Beside the file lies what has come so far (.part) and by what the server knows this version of it again (.version).

    Raises:
        MissingAsset: the server does not give it, an address is not of https, or connections broke too often.
    """
    import httpx2

    target.parent.mkdir(parents=True, exist_ok=True)
    part, version = _beside(target, "part"), _beside(target, "version")
    with FileLock(_beside(target, "lock")), _client() as client:
        for broken in range(1, ATTEMPTS + 1):
            try:
                _go_on(client, url, part, version)
                break
            except (httpx2.ReadError, httpx2.RemoteProtocolError, httpx2.ReadTimeout) as error:
                if broken == ATTEMPTS:
                    raise MissingAsset(
                        f"{url}: the connection broke {broken} times ({first_line(error)}); fetch once more to go on"
                    ) from error
                time.sleep(PAUSE_SECONDS)
            except httpx2.HTTPError as error:
                raise MissingAsset(f"{url} cannot be fetched: {first_line(error)}") from error
        part.replace(target)
        version.unlink()


def unpack(archive: Path, names: Sequence[str], folder: Path) -> None:
    """Write files of a zip archive into a folder, each by the last part of its name in there, and nothing else.

    Raises:
        MissingAsset: the archive is damaged or encrypted, a name is in there more than once or not at all, or leads out of it.
    """
    try:
        with ZipFile(archive) as opened:
            for name, member in {name: _member(opened, name) for name in names}.items():
                with opened.open(member) as content:
                    write_atomically(folder / name, partial(shutil.copyfileobj, content))
    except BROKEN as error:
        raise MissingAsset(f"{archive.name} cannot be unpacked: {first_line(error)}; it is deleted: fetch once more") from error


def _fetch(url: str, names: Sequence[str], folder: Path) -> None:
    file = folder / ".cache" / "medrival" / PurePosixPath(urlsplit(url).path).name
    if file.suffix != ".zip" and len(names) != 1:
        raise MissingAsset(f"{url} is no zip archive, so that one file comes from it and not {', '.join(names)}")
    if not file.is_file():
        download(url, file)
    if file.suffix != ".zip":
        file.replace(folder / names[0])
        return
    try:
        unpack(file, names, folder)
    except MissingAsset:
        file.unlink()
        raise
    file.unlink()


def _go_on(client: httpx2.Client, url: str, part: Path, version: Path) -> None:
    """Ask for what is lacking; the server sends the whole where its file is another by now (RFC 9110, section 13.1.5)."""
    known = version.read_text(encoding="utf-8") if version.is_file() and part.is_file() else ""
    start = part.stat().st_size if known else 0
    asked = {"Range": f"bytes={start}-", "If-Range": known} if start else {}
    with client.stream("GET", url, headers=asked) as answer:
        if answer.status_code == 206 and start and answer.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
            mode = "ab"
        elif answer.status_code == 200:
            part.unlink(missing_ok=True)  # before the new version is noted
            version.write_text(_version(answer), encoding="utf-8")
            mode = "wb"
        elif answer.status_code == 416 and answer.headers.get("Content-Range") == f"bytes */{start}":
            return  # killed before it got its name: nothing is lacking
        else:
            if answer.status_code in (206, 416):  # what came is no beginning of it
                part.unlink(missing_ok=True)
            raise MissingAsset(f"{url} cannot be fetched: the server answers {answer.status_code} {answer.reason_phrase}")
        with part.open(mode) as stream:
            for chunk in answer.iter_raw():
                stream.write(chunk)


def _version(answer: httpx2.Response) -> str:
    """By what the server knows this version of a file again: its ETag, if it is one of bytes; "" where there is none."""
    tag = str(answer.headers.get("ETag", ""))
    return "" if tag.startswith("W/") else tag


def _size(url: str) -> str:
    """Such as "482.1 MB", as the server states it for the file or archive; not every server answers such a question.

    Raises:
        MissingAsset: nobody answers there, or there is no such file.
    """
    import httpx2

    try:
        with _client() as client:
            answer = client.head(url)
    except httpx2.HTTPError as error:
        raise MissingAsset(f"{url} cannot be fetched: {first_line(error)}") from error
    if answer.status_code in GONE:
        raise MissingAsset(f"{url} cannot be fetched: the server answers {answer.status_code} {answer.reason_phrase}")
    length = answer.headers.get("Content-Length", "") if answer.is_success else ""
    return f"{int(length) / 1e6:,.1f} MB" if length.isdecimal() else "of unknown size"


def _client() -> httpx2.Client:
    import httpx2

    return httpx2.Client(
        follow_redirects=True,
        timeout=SECONDS_OF_SILENCE,
        headers={"Accept-Encoding": "identity"},  # a range is one of the bytes that are sent
        event_hooks={"request": [_refuse_insecure]},
    )


def _refuse_insecure(request: httpx2.Request) -> None:
    """Asked before every request, of which a redirection is one."""
    if request.url.scheme not in SCHEMES:
        raise MissingAsset(f"{request.url} is not fetched: only https addresses are")


def _member(opened: ZipFile, name: str) -> ZipInfo:
    found = [one for one in opened.infolist() if PurePosixPath(one.filename).name == name and not one.is_dir()]
    if len(found) != 1:
        raise ValueError(f"it has {len(found) or 'no'} files called {name}")
    inner = PurePosixPath(found[0].filename.replace("\\", "/"))
    if inner.is_absolute() or ".." in inner.parts:
        raise ValueError(f"its member {found[0].filename!r} points outside the archive")
    return found[0]


def _told(file: Path) -> str:
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return f"{file.name} ({file.stat().st_size / 1e6:,.1f} MB, sha256 {digest})"


def _beside(target: Path, what: str) -> Path:
    return target.with_name(f"{target.name}.{what}")
