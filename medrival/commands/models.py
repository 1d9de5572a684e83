"""`models`: what can be tested, and all that is claimed of each."""

from __future__ import annotations

import argparse
from pathlib import Path

from medrival.commands.common import Verbs, takes_catalog, verb

EXAMPLES = """
%(prog)s
%(prog)s 'qwen2.5-vl-*'
%(prog)s my-model --catalog my.toml --assets DIR
"""


def add(verbs: Verbs) -> None:
    """Say what it is asked with."""
    parser = verb(verbs, "models", "list the models, or all that is claimed of some", examples=EXAMPLES, run=run)
    parser.add_argument("name", nargs="?", metavar="NAME", help="a name or glob: everything that a row says, with sources")
    parser.add_argument("--assets", type=Path, metavar="DIR", help="folder with models, whose parameters are counted")
    takes_catalog(parser)


def run(options: argparse.Namespace) -> int:
    """Print the table, or the rows that the name means."""
    from medrival import catalog
    from medrival.parameters import known_here
    from medrival.tables import models as table

    known = catalog.load(options.catalog)
    models = known.models.values()
    if options.name is None:
        lines = table.overview([known_here(model, options.assets) for model in models])
    else:
        chosen = [known_here(model, options.assets) for model in known.select("models", [options.name])]
        lines = [line for model in chosen for line in (*table.whole(model, models), *known.unfamiliar(model))]
    print("\n".join(lines))
    return 0
