"""`models`: what can be tested, and all that is claimed of each."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from medrival.commands.common import Verbs, listed, takes_catalog, verb

if TYPE_CHECKING:
    from medrival.cards import ModelCard

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

    def overview(models: Sequence[ModelCard]) -> list[str]:
        return table.overview([known_here(model, options.assets) for model in models])

    def whole(model: ModelCard) -> list[str]:
        return [*table.whole(known_here(model, options.assets), known.models.values()), *known.unfamiliar(model)]

    return listed(known, "models", options.name, overview, whole)
