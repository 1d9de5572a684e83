"""`python -m medrival models`: what there is to choose from. `python -m medrival prune`: keep the store small."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import platformdirs

from medrival import catalog
from medrival.errors import MedrivalError
from medrival.files import write_atomically
from medrival.store import DEFAULT_LIMIT_BYTES, Store

COLUMNS: Mapping[str, tuple[str, ...]] = {
    "models": ("name", "kind", "type", "family", "partner", "weights"),
    "tasks": ("name", "kind", "modality", "data"),
    "regimes": ("name", "adapts", "source"),
    "suites": ("name", "models", "tasks", "regimes", "margin"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """List an axis, or prune the store; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m medrival", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    for axis in COLUMNS:
        verb = verbs.add_parser(axis, help=f"list the {axis}")
        verb.add_argument("--catalog", type=Path, action="append", default=[], metavar="FILE", help="TOML file with more rows")
    prune = verbs.add_parser("prune", help="delete what the store used longest ago")
    prune.add_argument("--store", type=Path, metavar="DIR", help="default: the user's cache folder")
    prune.add_argument(
        "--keep-gib", type=float, default=DEFAULT_LIMIT_BYTES / 2**30, help="how much may stay (default: %(default)s)"
    )
    skills = verbs.add_parser("skills", help="the classifier that tells understanding from reasoning")
    train = skills.add_subparsers(dest="action", required=True).add_parser("train", help="train it on MedXpertQA's labels")
    train.add_argument("--medxpertqa", type=Path, required=True, metavar="FILE", help="MM/test.jsonl, or .json or .parquet")
    train.add_argument("--out", type=Path, required=True, metavar="FILE", help="JSON file for pytest's --skills")
    options = parser.parse_args(arguments)
    try:
        print("\n".join(DOES.get(options.verb, _table)(options)))
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        sys.stderr.close()
        return 1
    except MedrivalError as error:
        print(f"ERROR: {error}", file=sys.stderr)
        return 2
    return 0


def _pruned(options: argparse.Namespace) -> list[str]:
    store = Store(options.store or platformdirs.user_cache_path("medrival"))
    freed = store.prune(int(options.keep_gib * 2**30))
    return [f"{store.folder}: {freed / 2**20:.1f} MiB freed"]


def _trained(options: argparse.Namespace) -> list[str]:
    from medrival.tasks.skills.recipe import train

    classifier = train(options.medxpertqa)
    content = classifier.text().encode()
    try:
        write_atomically(options.out, lambda stream: stream.write(content))
    except OSError as error:
        raise MedrivalError(f"{options.out}: it cannot be written ({error})") from error
    measured = [f"  {name.replace('_', ' ')}: {value:.4g}" for name, value in classifier.cross_validation.items()]
    return [f"{options.out}: {len(classifier.terms)} terms; cross-validated on {classifier.trained_on['data']}:", *measured]


def _table(options: argparse.Namespace) -> list[str]:
    columns, known = COLUMNS[options.verb], catalog.load(options.catalog).axes[options.verb]
    rows = [columns, *([_cell(getattr(row, column)) for column in columns] for row in known.values())]
    widths = [max(len(row[i]) for row in rows) for i in range(len(columns))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _cell(value: Any) -> str:
    return ",".join(value) if isinstance(value, tuple) else str(value)


DOES: Mapping[str, Callable[[argparse.Namespace], list[str]]] = {"prune": _pruned, "skills": _trained}
"""What a verb does where it does not list an axis."""


if __name__ == "__main__":
    raise SystemExit(main())
