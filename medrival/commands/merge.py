"""`merge`: the reports of all shards of a run become the report of the run."""

from __future__ import annotations

import argparse
from pathlib import Path

from medrival.commands.common import Verbs, verb
from medrival.errors import BrokenShard

EXAMPLES = """
%(prog)s shard-1 shard-2 shard-3
%(prog)s shards/* --report-dir report \\
    --gate gates.toml --assets DIR
"""
MORE = """\
Join the reports of all shards of a run, and judge its gates. It ends as the
run would have: 1 where a case failed or a gate does not hold.
"""


def add(verbs: Verbs) -> None:
    """Say what it is asked with."""
    does = "join the reports of all shards of a run, and judge its gates"
    parser = verb(verbs, "merge", does, more=MORE, examples=EXAMPLES, run=run)
    argument = parser.add_argument
    argument("shards", type=Path, nargs="+", metavar="SHARD", help="the report folder of a shard; all of them are needed")
    argument("--report-dir", type=Path, default=Path("reports/latest"), metavar="DIR", help="default: %(default)s")
    argument(
        "--gate",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="rules instead of the shards' --gate (repeatable)",
    )
    argument("--assets", type=Path, metavar="DIR", help="folder with data sets, for the images in the report")
    for what in ("baseline", "lock"):
        argument(f"--{what}", type=Path, metavar="FILE", help=f"as pytest's, instead of the shards' --{what}")
        argument(f"--update-{what}", action="store_true", help=f"write the merged run to the --{what} file")


def run(options: argparse.Namespace) -> int:
    """Merge; return the exit status of the run."""
    from medrival.merge import merge

    if options.report_dir.resolve() in {shard.resolve() for shard in options.shards}:
        raise BrokenShard(f"--report-dir {options.report_dir}: a shard's report is there; name another folder")
    paths = {"report-dir": options.report_dir, "assets": options.assets, "lock": options.lock}
    flags = [f"--update-{what}" for what in ("baseline", "lock") if getattr(options, f"update_{what}")]
    given = [f"--{name}={path}" for name, path in paths.items() if path is not None]
    return merge(options.shards, [*given, *flags], options.gate, options.baseline)
