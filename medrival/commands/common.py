"""What verbs have in common: how each is described, and options that mean the same everywhere."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from textwrap import indent
from typing import TYPE_CHECKING, Any, TypeAlias

from medrival.errors import MedrivalError
from medrival.files import write_atomically

if TYPE_CHECKING:
    from medrival.catalog import Catalog

Verbs: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def verb(
    verbs: Verbs, name: str, does: str, *, examples: str, run: Callable[[argparse.Namespace], int] | None = None, more: str = ""
) -> argparse.ArgumentParser:
    """A new verb, whose --help ends with examples.

    Args:
        verbs: of the command it belongs to.
        name: the word.
        does: what it does, in the list of verbs.
        examples: one a line; %(prog)s is the command and this word.
        run: returns the exit status.
        more: what else to say of it, in lines of at most 80 columns; in it, "%" is itself.
    """
    parser = verbs.add_parser(
        name,
        help=does,
        description=more or f"{does[0].upper()}{does[1:]}.",
        epilog=f"examples:\n{indent(examples.strip(), '  ')}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    return parser


def takes_catalog(parser: argparse.ArgumentParser) -> None:
    """Rows of the user's own, as pytest's option."""
    parser.add_argument(
        "--catalog", type=Path, action="append", default=[], metavar="FILE", help="TOML file with more rows (repeatable)"
    )


def listed(
    known: Catalog,
    axis: str,
    name: str | None,
    overview: Callable[[Sequence[Any]], list[str]],
    whole: Callable[[Any], list[str]],
) -> int:
    """Print the table of an axis or of the suites; where a name or glob is given, all of the rows that it means.

    Raises:
        UnknownName: the name means none.
    """
    if name is None:
        lines = overview([*known.axes[axis].values()])
    else:
        lines = [line for card in known.select(axis, [name]) for line in whole(card)]
    print("\n".join(lines))
    return 0


def write_json(path: Path, document: Mapping[str, Any]) -> None:
    """Write what was printed as data, too.

    Raises:
        MedrivalError: the file cannot be written.
    """
    write(path, (json.dumps(document, indent=1, allow_nan=False) + "\n").encode())


def write(path: Path, content: bytes) -> None:
    """Write a file, whole or not at all.

    Raises:
        MedrivalError: it cannot be written.
    """
    try:
        write_atomically(path, lambda stream: stream.write(content))
    except OSError as error:
        raise MedrivalError(f"{path}: it cannot be written ({error})") from error
