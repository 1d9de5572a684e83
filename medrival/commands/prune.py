"""`prune`: what the store used longest ago is deleted."""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import platformdirs

from medrival.commands.common import Verbs, verb
from medrival.store import DEFAULT_LIMIT_BYTES, Store

EXAMPLES = """
%(prog)s
%(prog)s --keep-gib 5 --store DIR
"""
MORE = """\
Delete what the store used longest ago, until the rest fits. What is deleted
is computed anew when it is asked for.
"""


def add(verbs: Verbs) -> None:
    """Say what it is asked with."""
    parser = verb(verbs, "prune", "delete what the store used longest ago", more=MORE, examples=EXAMPLES, run=run)
    parser.add_argument("--store", type=Path, metavar="DIR", help="default: the user's cache folder")
    parser.add_argument(
        "--keep-gib",
        type=_size,
        default=DEFAULT_LIMIT_BYTES / 2**30,
        metavar="GIB",
        help="how much may stay (default: %(default)s)",
    )


def run(options: argparse.Namespace) -> int:
    """Delete, and say how much was freed."""
    store = Store(options.store or platformdirs.user_cache_path("medrival"))
    freed = store.prune(int(options.keep_gib * 2**30))
    print(f"{store.folder}: {freed / 2**20:.1f} MiB freed")
    return 0


def _size(text: str) -> float:
    gib = float(text)
    if not 0 <= gib < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is no size; 0 empties the store")
    return gib
