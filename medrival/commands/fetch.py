"""`fetch`: models and data sets, into a folder that a machine without internet can be given."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

from medrival.commands.common import Verbs, takes_catalog, verb
from medrival.sense import names

EXAMPLES = """
%(prog)s --suite clip --assets DIR --dry-run
%(prog)s --models biomedclip --tasks vqa-rad --assets DIR
%(prog)s --tasks 'phantom-*,slake-en' --assets DIR
"""
MORE = """\
Put models and data sets into a folder for --assets. Each file is held to the
hash that the hub states; a fetch that broke is taken up where it broke.
"""


def add(verbs: Verbs) -> None:
    """Say what it is asked with."""
    does = "put models and data sets into a folder for --assets"
    parser = verb(verbs, "fetch", does, more=MORE, examples=EXAMPLES, run=run)
    argument = parser.add_argument
    argument("--suite", default="", metavar="NAME", help="whose models and tasks (default: pocket, where none is named)")
    argument("--models", default="", metavar="NAMES", help="comma-separated names or globs instead of the suite's models")
    argument("--tasks", default="", metavar="NAMES", help="the same of its tasks")
    argument("--assets", type=Path, required=True, metavar="DIR", help="where to: DIR/models/ORG/NAME, DIR/datasets/ORG/NAME")
    takes_catalog(parser)
    argument("--trust-remote-code", action="append", default=[], metavar="MODEL", help="fetch this model's Python files, too")
    argument("--dry-run", action="store_true", help="say what would be fetched, and fetch nothing")


def run(options: argparse.Namespace) -> int:
    """Fetch, with a line for each; 1 where something is not there in the end."""
    from medrival import catalog
    from medrival.fetch import fetch

    known = catalog.load(options.catalog).trusting(options.trust_remote_code)
    suite = known.suite(options.suite or "pocket")
    whole = options.suite or not (options.models or options.tasks)
    models = known.select("models", names(options.models) or (suite.models if whole else ()))
    tasks = known.select("tasks", names(options.tasks) or (suite.tasks if whole else ()))
    return 0 if fetch([*models, *tasks], options.assets, partial(print, flush=True), dry_run=options.dry_run) else 1
