"""`tasks`: what models can be tested on, and where to get it."""

from __future__ import annotations

import argparse

from medrival.commands.common import Verbs, listed, takes_catalog, verb

EXAMPLES = """
%(prog)s
%(prog)s ham10000
%(prog)s 'phantom-*' --catalog my.toml
"""


def add(verbs: Verbs) -> None:
    """Say what it is asked with."""
    parser = verb(verbs, "tasks", "list the tasks, or all that a row says of some", examples=EXAMPLES, run=run)
    parser.add_argument("name", nargs="?", metavar="NAME", help="a name or glob: everything that a row says")
    takes_catalog(parser)


def run(options: argparse.Namespace) -> int:
    """Print the table, or the rows that the name means."""
    from medrival import catalog
    from medrival.tables import tasks

    known = catalog.load(options.catalog)
    return listed(known, "tasks", options.name, tasks.overview, tasks.whole)
