"""`compare`: two runs, sample by sample."""

from __future__ import annotations

import argparse
from pathlib import Path

from medrival.commands.common import Verbs, verb, write_json

EXAMPLES = """
%(prog)s reports/monday reports/latest
%(prog)s monday latest --metric accuracy \\
    --margin 0.02 --json out.json
%(prog)s latest latest --cases 'mine-v1-*=mine-v2-*'
"""
MORE = """\
Compare two runs (A and B) sample by sample, on every case that both measured.
B - A is the paired difference; B is better or worse where its interval
excludes 0, equivalent where the interval lies within the margin. It exits with
0 whatever it finds: what must stop a release is a gate (pytest --gate).
"""


def add(verbs: Verbs) -> None:
    """Say what it is asked with."""
    parser = verb(verbs, "compare", "compare two runs sample by sample", more=MORE, examples=EXAMPLES, run=run)
    argument = parser.add_argument
    argument("a", type=Path, metavar="RUN", help="report folder of a run, called A")
    argument("b", type=Path, metavar="RUN", help="that of another, or the same, called B")
    argument("--metric", default="", metavar="NAME", help="default: the primary one of each case")
    argument("--margin", type=_margin, default=0.05, metavar="M", help="what counts as no difference (default: %(default)s)")
    argument(
        "--cases",
        action="append",
        default=[],
        metavar="ID[=ID]",
        help="this case alone, or A's case beside another of B; a * on each side stands for the same (repeatable)",
    )
    argument("--drop-leaked", action="store_true", help="leave out test samples that the audit of either run found leaked")
    argument("--json", type=Path, metavar="FILE", help="write the result as data, too")


def run(options: argparse.Namespace) -> int:
    """Print the comparison."""
    from medrival.comparing import compare_runs
    from medrival.reports.reading import read_run
    from medrival.tables.comparison import document, lines

    a, b = ((folder, read_run(folder)) for folder in (options.a, options.b))
    found = compare_runs(
        a[1], b[1], metric=options.metric, margin=options.margin, cases=options.cases, drop_leaked=options.drop_leaked
    )
    if options.json is not None:
        write_json(options.json, document(found, a, b))
    print("\n".join(lines(found, a, b)))
    return 0


def _margin(text: str) -> float:
    width = float(text)
    if not 0 <= width <= 1:
        raise argparse.ArgumentTypeError(f"{text} is no difference of a metric; it must be between 0 and 1")
    return width
