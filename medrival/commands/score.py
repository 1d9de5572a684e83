"""`score`: predictions that any program made, without a model."""

from __future__ import annotations

import argparse
from dataclasses import fields
from pathlib import Path

import platformdirs

from medrival.commands.common import Verbs, takes_catalog, verb, write_json
from medrival.errors import MedrivalError
from medrival.predictions import Columns
from medrival.sense import names

EXAMPLES = """
%(prog)s said.jsonl --task vqa-rad --assets DIR
%(prog)s said.csv --kind vqa --truth gt --answer pred \\
    --form type
%(prog)s test.csv --kind diagnosis --classes well,ill \\
    --validation validation.csv --json scores.json
"""


def add(verbs: Verbs) -> None:
    """Say what it is asked with."""
    parser = verb(verbs, "score", "score a file of predictions, without a model", examples=EXAMPLES, run=run)
    argument = parser.add_argument
    argument("file", type=Path, metavar="FILE", help=".json, .jsonl or .csv, one row a sample")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--task", metavar="NAME", help="a task of the catalog: truths come from it, rows are joined by id")
    what.add_argument("--kind", choices=("vqa", "diagnosis"), help="without a task: truths are in the file")
    argument("--classes", default="", metavar="A,B", help="of a diagnosis without a task, in the order of its scores")
    argument(
        "--validation",
        type=Path,
        metavar="FILE",
        help="of a diagnosis: predictions for other samples, to choose the threshold on",
    )
    argument("--assets", type=Path, metavar="DIR", help="folder with the task's data")
    takes_catalog(parser)
    argument("--metrics", default="", metavar="NAMES", help="comma-separated (default: all)")
    argument("--json", type=Path, metavar="FILE", help="write the result as data, too")
    columns = parser.add_argument_group("columns of the file")
    for column in fields(Columns):
        columns.add_argument(f"--{column.name}", default=column.default, metavar="COLUMN", help="default: %(default)s")


def run(options: argparse.Namespace) -> int:
    """Print each metric with its interval, and what failed."""
    from medrival import catalog
    from medrival.score import document, lines, score
    from medrival.store import Store

    columns = Columns(**{column.name: getattr(options, column.name) for column in fields(Columns)})
    task = None
    if options.task is not None:
        card, *more = catalog.load(options.catalog).select("tasks", [options.task])
        if more:
            raise MedrivalError(
                f"--task {options.task!r} means {', '.join(one.name for one in (card, *more))}; name one of them"
            )
        scratch = Store(platformdirs.user_cache_path("medrival")).scratch
        task = catalog.imported(card.loader)(card, options.assets, scratch)
    classes = names(options.classes)
    found = score(options.file, task=task, kind=options.kind, classes=classes, columns=columns, validation=options.validation)
    shown = list(lines(found, names(options.metrics)))
    if options.json is not None:
        write_json(options.json, document(found, names(options.metrics)))
    print("\n".join([f"{options.file}: {shown[0]}", *shown[1:]]))
    return 0
