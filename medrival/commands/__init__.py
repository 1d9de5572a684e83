"""The verbs of `python -m medrival`, one file each: `add` says what it is asked with, `run` does it."""

from __future__ import annotations

import argparse
from importlib import import_module

from medrival import __version__

VERBS = (
    "models",
    "tasks",
    "regimes",
    "suites",
    "fetch",
    "score",
    "report",
    "compare",
    "merge",
    "export",
    "prune",
    "skills",
    "completion",
)
"""In the order in which they are used, each a module of this package."""

DESCRIPTION = """\
What there is to choose from, and what to do around a run. The run itself is
pytest's: pytest benchmarks --help, under "medrival".
"""
EPILOG = """\
VERB --help shows examples of each.
"""


def parser(prog: str = "python -m medrival") -> argparse.ArgumentParser:
    """What understands the command line; the verb's `run` is on the options that it returns, None where no verb is given."""
    whole = argparse.ArgumentParser(
        prog=prog, description=DESCRIPTION, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    whole.add_argument("-V", "--version", action="version", version=f"medrival {__version__}")
    whole.set_defaults(run=None)
    verbs = whole.add_subparsers(title="verbs, in order of use", metavar="VERB")
    for name in VERBS:
        import_module(f"{__name__}.{name}").add(verbs)
    return whole
