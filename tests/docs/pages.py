"""The pages that people read, their blocks of code and the commands in them."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]

FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`([^`]+)`")
ASSIGNMENT = re.compile(r"[A-Z_]+=\S*")


@dataclass(frozen=True)
class Block:
    """A fenced block: `line` is that of its first fence."""

    page: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


@dataclass(frozen=True)
class Command:
    """A line that a reader would type, without what it sets in the environment."""

    page: str
    line: int
    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.page}:{self.line}: {shlex.join(self.words)}"

    def after(self, *words: str) -> tuple[str, ...] | None:
        """What follows these words; None where it begins with others."""
        return self.words[len(words) :] if self.words[: len(words)] == words else None


def blocks(*languages: str) -> list[Block]:
    """Of all pages, in these languages; "" is one without a name."""
    return [block for page in PAGES for block in _blocks(page) if block.language in languages]


def commands() -> list[Command]:
    """Of all blocks that name no language, and of the text where it has a whole command of `python -m medrival`."""
    return [command for page in PAGES for command in _commands(page)]


def text_of(page: Path) -> str:
    """A page without its blocks, of which empty lines are left."""
    return FENCED.sub(lambda block: "\n" * block[0].count("\n"), page.read_text())


def _blocks(page: Path) -> Iterator[Block]:
    text = page.read_text()
    for found in FENCED.finditer(text):
        yield Block(page.relative_to(ROOT).as_posix(), text.count("\n", 0, found.start()) + 1, found[1], found[2])


def _commands(page: Path) -> Iterator[Command]:
    name = page.relative_to(ROOT).as_posix()
    for block in _blocks(page):
        if block.language == "":
            for number, line in _typed(block):
                if re.search(r"\b(pytest|python -m medrival)\b", line):
                    yield Command(name, number, _words(line))
    for number, line in enumerate(text_of(page).splitlines(), 1):
        for found in INLINE.findall(line):
            if found.startswith("python -m medrival ") and not re.search(r"\.\.\.|\.$", found):
                yield Command(name, number, _words(found))


def _typed(block: Block) -> Iterator[tuple[int, str]]:
    """The lines that a reader types, with their numbers: of a block that shows output, too, those behind a prompt."""
    lines, shows_output = block.text.splitlines(), block.text.startswith("$ ")
    number = 0
    while number < len(lines):
        start, line = number, lines[number]
        while line.endswith("\\"):
            number += 1
            line = line[:-1] + lines[number]
        number += 1
        if not shows_output:
            yield block.line + 1 + start, line
        elif line.startswith("$ "):
            yield block.line + 1 + start, line[2:]


def _words(line: str) -> tuple[str, ...]:
    """Of a shell command: what it sets in the environment, where its output goes and its comment are no part of it."""
    words = shlex.split(re.split(r" (?:>>?|\|) ", line)[0], comments=True)
    while words and ASSIGNMENT.fullmatch(words[0]):
        words.pop(0)
    return tuple(words)
