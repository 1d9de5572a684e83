"""Digests of images on disk, kept between runs: hashing reads every byte of a data set, and each process would do it anew.

A digest is taken from the cache while nothing about its file has changed: size, inode, and the times of the last change of its
content and of its state, the second of which every write sets and no program can set back.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from medrival.contracts import Image
from medrival.errors import UnreadableImage
from medrival.files import write_atomically
from medrival.tasks.images.encoded import OnDisk, Stamp

SETTLED = 2 * 10**9
"""Nanoseconds since a file's last change before its digest is kept: clocks are coarse, and one more write could look alike."""
AT_ONCE = 2
"""Files that are hashed side by side: the disk and the hash take turns."""

Known = Mapping[str, tuple[Stamp, str]]
"""By image: what its file was like, and the sha256 of its bytes."""


def read_digests(images: Iterable[Image], cache: Path, now: int | None = None) -> None:
    """Let every image have its digest; of images on disk that did not change since an earlier call, without reading them.

    Several processes may call it at once; a damaged file of digests counts as none, and one that cannot be written is done
    without.

    Args:
        images: of one data set or several; equal ones are read once.
        cache: the folder that keeps the digests, a file for each data set's folder.
        now: in nanoseconds since 1970; None: the clock's.

    Raises:
        BrokenData: the disk did not give an image's bytes, which says nothing about the image.
    """
    on_disk: dict[Path, dict[str, list[OnDisk]]] = defaultdict(lambda: defaultdict(list))
    others: list[Image] = []
    for image in images:
        if isinstance(image, OnDisk):
            on_disk[image.home][image.name].append(image)
        else:
            others.append(image)
    settled = (time.time_ns() if now is None else now) - SETTLED
    for home, named in on_disk.items():
        _read_home(named, cache / "digests" / f"{hashlib.sha256(str(home.resolve()).encode()).hexdigest()}.json", settled)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for _ in pool.map(lambda image: image.digest, others):
            pass


def _read_home(named: Mapping[str, Sequence[OnDisk]], file: Path, settled: int) -> None:
    kept = _kept(file)
    # Before the bytes are read: a file that changes meanwhile is then not taken for what it was.
    stamps = {name: stamp for name, images in named.items() if (stamp := images[0].stamp())}
    found = {name: kept[name][1] for name, stamp in stamps.items() if name in kept and kept[name][0] == stamp}
    missing = [name for name in named if name not in found]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        read = dict(zip(missing, pool.map(lambda name: _sha256(named[name][0]), missing), strict=True))
    new = {name: sha256 for name, sha256 in read.items() if sha256 is not None}
    for name, sha256 in {**found, **new}.items():
        for image in named[name]:
            image.hash_is(sha256)
    fresh = {name: (stamps[name], new[name]) for name in new if name in stamps and stamps[name].changed < settled}
    if fresh:
        _keep(file, {**_kept(file), **fresh})  # read once more: another process may have written


def _sha256(image: OnDisk) -> str | None:
    """Of the bytes; None where there are none, whose digest is of a message and is not kept."""
    try:
        return hashlib.sha256(image.content()).hexdigest()
    except UnreadableImage:
        return None


def _kept(file: Path) -> Known:
    try:
        check, _, body = file.read_bytes().partition(b"\n")
        if hashlib.sha256(body).hexdigest() != check.decode():
            return {}
        return {name: (Stamp(*stamp), sha256) for name, (stamp, sha256) in json.loads(body).items()}
    except (OSError, UnicodeDecodeError):
        return {}


def _keep(file: Path, known: Known) -> None:
    body = json.dumps(known).encode()
    with suppress(OSError):  # a full or read-only disk costs the next run time, nothing else
        write_atomically(file, lambda stream: stream.write(hashlib.sha256(body).hexdigest().encode() + b"\n" + body))
