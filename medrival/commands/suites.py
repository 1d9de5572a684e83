"""`suites`: selections that have a name."""

from __future__ import annotations

import argparse

from medrival.commands.common import Verbs, listed, takes_catalog, verb

EXAMPLES = """
%(prog)s
%(prog)s clip
"""


def add(verbs: Verbs) -> None:
    """Say what it is asked with."""
    parser = verb(verbs, "suites", "list the suites, or all that some select", examples=EXAMPLES, run=run)
    parser.add_argument("name", nargs="?", metavar="NAME", help="a name or glob: every model, task and regime that is selected")
    takes_catalog(parser)


def run(options: argparse.Namespace) -> int:
    """Print the table, or the rows that the name means."""
    from medrival import catalog
    from medrival.tables import suites

    known = catalog.load(options.catalog)
    return listed(known, "suites", options.name, suites.overview, lambda card: suites.whole(card, known))
