"""What an adapter reads: which files of a model, and what of other places; asked before it is imported, without torch."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from medrival.catalog import ModelCard, imported

TEXTS = ("*.json", "*.jinja", "*.txt", "*.model")
"""What is read of a repository besides weights: configuration and tokenizer."""
VOCABULARIES = ("tokenizer.json", "vocab.*", "*.model")


@dataclass(frozen=True)
class Part:
    """What an adapter reads of another repository or directory.

    Attributes:
        role: what it is to the model.
        name: as the model's configuration has it.
        files: globs of the files that are read; none for all that are read of a model.
    """

    role: str
    name: str
    files: tuple[str, ...] = ()


def parts(card: ModelCard, folder: Path) -> tuple[Part, ...]:
    """What the row's adapter reads of other places than the model's directory.

    Raises:
        BrokenCatalog: what should tell it cannot be imported.
    """
    told = imported(card.reads.parts)(folder) if card.reads.parts else ()
    return tuple(part for part in told if not inside(folder, part.name))


def files_read(card: ModelCard, names: Iterable[str], only: Sequence[str] = ()) -> list[str]:
    """The files of a repository that are read: configuration, tokenizer, weights; its Python files where it is trusted.

    Or `only` those at its top that are like some globs.
    """
    if only:
        return like([name for name in names if "/" not in name], *only)
    folders: dict[str, list[str]] = {}
    for name in names:
        folders.setdefault(name.rpartition("/")[0], []).append(name)
    read = [folder for folder in folders if not folder or like([folder], *card.reads.folders)]
    return [name for folder in read for name in _read_of(card, folders[folder])]


def kind_there(card: ModelCard, names: Collection[str]) -> Sequence[str]:
    """Of the kinds of weight files that are read the first of which every glob finds a name; none where none is there."""
    return next((kind for kind in card.reads.weights if all(like(names, pattern) for pattern in kind)), ())


def needed(card: ModelCard, only: tuple[str, ...] = ()) -> Sequence[Sequence[str]]:
    """Groups of globs of which one each must be there, so that what an adapter reads, or `only` some of it, is not made up."""
    if only:
        return [VOCABULARIES if only == TEXTS else only]
    return card.reads.needed


def inside(folder: Path, name: str) -> bool:
    """Whether a name is of a directory inside another, whose files are hashed: hidden ones are not."""
    found, root = (folder / name).resolve(), folder.resolve()
    if not found.is_dir() or not found.is_relative_to(root):
        return False
    return not any(part.startswith(".") for part in found.relative_to(root).parts)


def like(names: Iterable[str], *patterns: str) -> list[str]:
    """The names that are like one of some globs."""
    return [name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns)]


def _read_of(card: ModelCard, names: Sequence[str]) -> list[str]:
    """Of one folder's files; patterns are of the last part of a name."""
    last = {name: name.rpartition("/")[2] for name in names}
    texts = like(last.values(), *TEXTS, *(["*.py"] if card.trusted else []))
    weights = [name for name in like(last.values(), *kind_there(card, last.values())) if name not in texts]
    return [name for name in names if last[name] in texts] + [name for name in names if last[name] in weights]
