"""`export`: a report as tables, as an MLflow run, or as the results of a model card."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from medrival.commands.common import Verbs, verb, write
from medrival.errors import MedrivalError
from medrival.sense import names

VIEWS = ("results", "answers", "pairs", "cases", "metrics", "per-class", "subgroups", "gates", "baseline", "published", "data")
AXES = ("model", "task", "regime")
FORMATS = ("markdown", "csv", "latex", "json")
EXAMPLES = """
%(prog)s reports/latest
%(prog)s reports/latest --regimes zero-shot --out results.tex
%(prog)s reports/latest --view metrics \\
    --metrics auroc,ece --format csv
%(prog)s reports/latest --view pairs \\
    --columns general,medical,task,verdict
%(prog)s reports/latest --mlflow http://localhost:5000
%(prog)s reports/latest --model-index my-clip
"""
MORE = """\
Write a report folder (report.json and predictions/) in a form that other
programs read: one of its views as a table (the default: models by tasks, as a
paper has them), an MLflow run with one nested run a case and pair, or the
`model-index` of a model card on the Hugging Face hub. See docs/exports.md.
"""


def add(verbs: Verbs) -> None:
    """Say what it is asked with."""
    does = "a report as tables, an MLflow run or a model card's results"
    parser = verb(verbs, "export", does, more=MORE, examples=EXAMPLES, run=run)
    argument = parser.add_argument
    argument("run_folder", type=Path, metavar="RUN", help="the report folder of a run")
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--view", choices=VIEWS, default="results", metavar="VIEW", help=f"the table: {', '.join(VIEWS)} (default: %(default)s)"
    )
    what.add_argument("--mlflow", nargs="?", const="", metavar="URI", help="log to MLflow (default URI: MLFLOW_TRACKING_URI)")
    what.add_argument("--model-index", metavar="MODEL", help="YAML for the head of this model's README.md")
    argument("--format", choices=FORMATS, help="of a table (default: by the name of --out, else markdown)")
    argument(
        "--metrics", default="", metavar="NAMES", help="comma-separated (default: a task's primary one; in `metrics`, all)"
    )
    for axis in AXES:
        argument(f"--{axis}s", default="", metavar="NAMES", help="of a view of cases: comma-separated names or patterns")
    argument("--columns", default="", metavar="NAMES", help="comma-separated, of a table (default: all)")
    argument("--out", type=Path, metavar="FILE", help="default: print it")


def run(options: argparse.Namespace) -> int:
    """Print it, or write it and say where it is."""
    from medrival.reports.reading import read_run

    _refuse_idle(options)
    told = read_run(options.run_folder)
    if options.mlflow is not None:
        from medrival.reports.exports.mlflow import log

        print(f"MLflow run: {log(told, options.mlflow)}")
        return 0
    if options.model_index is not None:
        from medrival.reports.exports.model_index import model_index

        return _hand_over(model_index(told, options.model_index, names(options.metrics)), options.out)
    from medrival.reports.exports.formats import FORMATS, SUFFIXES
    from medrival.reports.exports.views import view

    chosen = {axis: names(getattr(options, f"{axis}s")) for axis in AXES}
    table = view(told, options.view, names(options.metrics), chosen)
    if columns := names(options.columns):
        table = table.only(columns)
    suffix = options.out.suffix.lower() if options.out else ""
    wanted = options.format or SUFFIXES.get(suffix, "" if suffix else "markdown")
    if not wanted:
        raise MedrivalError(f"--out {options.out}: {suffix} names no format; {', '.join(SUFFIXES)} do, and so does --format")
    return _hand_over(FORMATS[wanted](table), options.out)


def _refuse_idle(options: argparse.Namespace) -> None:
    """Refuse what would do nothing, where a reader would think that it did.

    Raises:
        MedrivalError: naming the option.
    """
    of_tables = ("format", "columns", *(f"{axis}s" for axis in AXES))
    if options.mlflow is not None:
        what, idle = "mlflow", (*of_tables, "metrics", "out")
    elif options.model_index is not None:
        what, idle = "model-index", of_tables
    else:
        return
    if given := [name for name in idle if getattr(options, name)]:
        raise MedrivalError(f"--{given[0]} does not go with --{what}: leave it away")


def _hand_over(text: str, out: Path | None) -> int:
    if out is None:
        sys.stdout.write(text)
    else:
        write(out, text.encode())
        print(out)
    return 0
