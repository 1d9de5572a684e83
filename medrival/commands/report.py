"""`report`: report.html anew, from a report folder."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import platformdirs

from medrival.commands.common import Verbs, takes_catalog, verb

EXAMPLES = """
%(prog)s reports/latest
%(prog)s report-of-ci --assets DIR --report-dir reports/ci
"""
MORE = """\
Write report.html anew from a report folder (report.json and predictions/),
without a model. Images come from the data sets; where they are not on this
machine, the report says so in their place.
"""


def add(verbs: Verbs) -> None:
    """Say what it is asked with."""
    parser = verb(verbs, "report", "write report.html anew from a report folder", more=MORE, examples=EXAMPLES, run=run)
    parser.add_argument("run_folder", type=Path, metavar="RUN", help="the report folder of a run")
    parser.add_argument("--report-dir", type=Path, metavar="DIR", help="where report.html goes (default: RUN)")
    parser.add_argument("--assets", type=Path, metavar="DIR", help="folder with data sets, for the images in the report")
    takes_catalog(parser)


def run(options: argparse.Namespace) -> int:
    """Write the page, and say where it is."""
    from medrival import catalog
    from medrival.comparable import check
    from medrival.reports.html import write_html
    from medrival.reports.pictures import Pictures
    from medrival.reports.reading import read_run
    from medrival.store import Store

    known = catalog.load(options.catalog)
    told = read_run(options.run_folder)
    for case in told.cases:
        if case.status == "measured" and case.primary and case.predictions:
            check(case, case.primary, str(options.run_folder))
    scratch = Store(platformdirs.user_cache_path("medrival")).scratch
    images = Pictures(known.tasks, options.assets, scratch, told.fingerprints)
    shareable = {name for name, card in known.tasks.items() if card.redistribute}
    print(f"report: {write_html(replace(told, report_dir=options.report_dir or options.run_folder), images, shareable)}")
    return 0
