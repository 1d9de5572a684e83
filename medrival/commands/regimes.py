"""`regimes`: what can be done to a model before the test, and with which numbers."""

from __future__ import annotations

import argparse

from medrival.commands.common import Verbs, listed, takes_catalog, verb

EXAMPLES = """
%(prog)s
%(prog)s lora
%(prog)s 'lora*' --catalog my.toml
"""


def add(verbs: Verbs) -> None:
    """Say what it is asked with."""
    parser = verb(verbs, "regimes", "list the regimes, or all that a row says of some", examples=EXAMPLES, run=run)
    parser.add_argument(
        "name", nargs="?", metavar="NAME", help="a name or glob: everything that a row says, each budget's numbers"
    )
    takes_catalog(parser)


def run(options: argparse.Namespace) -> int:
    """Print the table, or the rows that the name means."""
    from medrival import catalog
    from medrival.tables import regimes

    known = catalog.load(options.catalog)
    return listed(known, "regimes", options.name, regimes.overview, regimes.whole)
