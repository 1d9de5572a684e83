"""`models`: what there is to choose from; `fetch`: get it; `merge`: shards; `score`: predictions; `prune`: the store."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

import platformdirs

from medrival import catalog, tables
from medrival.errors import BrokenShard, MedrivalError
from medrival.files import write_atomically
from medrival.parameters import known_here
from medrival.predictions import Columns
from medrival.store import DEFAULT_LIMIT_BYTES, Store

COLUMNS: Mapping[str, tuple[str, ...]] = {
    "regimes": ("name", "adapts", "source"),
    "suites": ("name", "models", "tasks", "regimes", "margin"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """List an axis, score predictions, or prune the store; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m medrival", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    for axis in catalog.BUILT_IN:
        verb = verbs.add_parser(axis, help=f"list the {axis}")
        if axis in ("models", "tasks"):
            verb.add_argument("name", nargs="?", metavar="NAME", help="a name or glob: everything that a row says")
        if axis == "models":
            verb.add_argument("--assets", type=Path, metavar="DIR", help="folder with models, whose parameters are counted")
        verb.add_argument("--catalog", type=Path, action="append", default=[], metavar="FILE", help="TOML file with more rows")
    prune = verbs.add_parser("prune", help="delete what the store used longest ago")
    prune.add_argument("--store", type=Path, metavar="DIR", help="default: the user's cache folder")
    prune.add_argument(
        "--keep-gib", type=float, default=DEFAULT_LIMIT_BYTES / 2**30, help="how much may stay (default: %(default)s)"
    )
    skills = verbs.add_parser("skills", help="the classifier that tells understanding from reasoning")
    train = skills.add_subparsers(dest="action", required=True).add_parser("train", help="train it on MedXpertQA's labels")
    train.add_argument("--medxpertqa", type=Path, required=True, metavar="FILE", help="MM/test.jsonl, or .json or .parquet")
    train.add_argument("--out", type=Path, required=True, metavar="FILE", help="JSON file for pytest's --skills")
    _add_score(verbs.add_parser("score", help="score a file of predictions, without a model"))
    _add_merge(verbs.add_parser("merge", help="join the reports of all shards of a run, and judge its gates"))
    _add_fetch(verbs.add_parser("fetch", help="put models and data sets into a folder for --assets"))
    options = parser.parse_args(arguments)
    try:
        if options.verb == "fetch":
            return 0 if _fetched(options) else 1
        if options.verb == "merge":
            return _merged(options)
        print("\n".join(DOES.get(options.verb, _table)(options)))
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        sys.stderr.close()
        return 1
    except MedrivalError as error:
        print(f"ERROR: {error}", file=sys.stderr)
        return 2
    return 0


def _add_fetch(verb: argparse.ArgumentParser) -> None:
    add = verb.add_argument
    add("--suite", default="", metavar="NAME", help="whose models and tasks (default: pocket, where none is named)")
    add("--models", default="", metavar="NAMES", help="comma-separated names or globs instead of the suite's models")
    add("--tasks", default="", metavar="NAMES", help="the same of its tasks")
    add("--assets", type=Path, required=True, metavar="DIR", help="where to: DIR/models/ORG/NAME, DIR/datasets/ORG/NAME")
    add("--catalog", type=Path, action="append", default=[], metavar="FILE", help="TOML file with more rows")
    add("--trust-remote-code", action="append", default=[], metavar="MODEL", help="fetch this model's Python files, too")
    add("--dry-run", action="store_true", help="say what would be fetched, and fetch nothing")


def _fetched(options: argparse.Namespace) -> bool:
    from medrival.fetch import fetch

    known = catalog.load(options.catalog).trusting(options.trust_remote_code)
    (suite,) = known.select("suites", [options.suite or "pocket"])[:1]
    whole = options.suite or not (options.models or options.tasks)
    models = known.select("models", _names(options.models) or (suite.models if whole else ()))
    tasks = known.select("tasks", _names(options.tasks) or (suite.tasks if whole else ()))
    return fetch([*models, *tasks], options.assets, partial(print, flush=True), dry_run=options.dry_run)


def _add_merge(verb: argparse.ArgumentParser) -> None:
    add = verb.add_argument
    add("shards", type=Path, nargs="+", metavar="SHARD", help="the report folder of a shard; all of them are needed")
    add("--report-dir", type=Path, default=Path("reports/latest"), metavar="DIR", help="default: %(default)s")
    add(
        "--gate",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="rules instead of the shards' --gate (repeatable)",
    )
    add("--assets", type=Path, metavar="DIR", help="folder with data sets, for the images in the report")
    for what in ("baseline", "lock"):
        add(f"--{what}", type=Path, metavar="FILE", help=f"as pytest's, instead of the shards' --{what}")
        add(f"--update-{what}", action="store_true", help=f"write the merged run to the --{what} file")


def _merged(options: argparse.Namespace) -> int:
    from medrival.merge import merge

    if options.report_dir.resolve() in {shard.resolve() for shard in options.shards}:
        raise BrokenShard(f"--report-dir {options.report_dir}: a shard's report is there; name another folder")
    paths = {"report-dir": options.report_dir, "assets": options.assets, "lock": options.lock}
    flags = [f"--update-{what}" for what in ("baseline", "lock") if getattr(options, f"update_{what}")]
    given = [f"--{name}={path}" for name, path in paths.items() if path is not None]
    return merge(options.shards, [*given, *flags], options.gate, options.baseline)


def _add_score(verb: argparse.ArgumentParser) -> None:
    add = verb.add_argument
    add("file", type=Path, metavar="FILE", help=".json, .jsonl or .csv, one row a sample")
    what = verb.add_mutually_exclusive_group(required=True)
    what.add_argument("--task", metavar="NAME", help="a task of the catalog: truths come from it, rows are joined by id")
    what.add_argument("--kind", choices=("vqa", "diagnosis"), help="without a task: truths are in the file")
    add("--classes", default="", metavar="A,B", help="of a diagnosis without a task, in the order of its scores")
    add(
        "--validation",
        type=Path,
        metavar="FILE",
        help="of a diagnosis: predictions for other samples, to choose the threshold on",
    )
    add("--assets", type=Path, metavar="DIR", help="folder with the task's data")
    add("--catalog", type=Path, action="append", default=[], metavar="FILE", help="TOML file with more rows")
    add("--metrics", default="", metavar="NAMES", help="comma-separated (default: all)")
    add("--json", type=Path, metavar="FILE", help="write the result as data, too")
    columns = verb.add_argument_group("columns of the file")
    for column in fields(Columns):
        columns.add_argument(f"--{column.name}", default=column.default, metavar="COLUMN", help="default: %(default)s")


def _scored(options: argparse.Namespace) -> list[str]:
    from medrival.score import document, lines, score

    columns = Columns(**{column.name: getattr(options, column.name) for column in fields(Columns)})
    task = None
    if options.task is not None:
        card, *more = catalog.load(options.catalog).select("tasks", [options.task])
        if more:
            raise MedrivalError(
                f"--task {options.task!r} means {', '.join(one.name for one in (card, *more))}; name one of them"
            )
        scratch = Store(platformdirs.user_cache_path("medrival")).scratch
        task = catalog.imported(card.loader)(card, options.assets, scratch)
    classes = _names(options.classes)
    found = score(options.file, task=task, kind=options.kind, classes=classes, columns=columns, validation=options.validation)
    shown = list(lines(found, _names(options.metrics)))
    if options.json is not None:
        content = (json.dumps(document(found, _names(options.metrics)), indent=1, allow_nan=False) + "\n").encode()
        _write(options.json, content)
    return [f"{options.file}: {shown[0]}", *shown[1:]]


def _names(given: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in given.split(",") if name.strip())


def _write(path: Path, content: bytes) -> None:
    try:
        write_atomically(path, lambda stream: stream.write(content))
    except OSError as error:
        raise MedrivalError(f"{path}: it cannot be written ({error})") from error


def _pruned(options: argparse.Namespace) -> list[str]:
    store = Store(options.store or platformdirs.user_cache_path("medrival"))
    freed = store.prune(int(options.keep_gib * 2**30))
    return [f"{store.folder}: {freed / 2**20:.1f} MiB freed"]


def _trained(options: argparse.Namespace) -> list[str]:
    from medrival.tasks.skills.recipe import train

    classifier = train(options.medxpertqa)
    _write(options.out, classifier.text().encode())
    measured = [f"  {name.replace('_', ' ')}: {value:.4g}" for name, value in classifier.cross_validation.items()]
    return [f"{options.out}: {len(classifier.terms)} terms; cross-validated on {classifier.trained_on['data']}:", *measured]


def _models(options: argparse.Namespace) -> list[str]:
    known = catalog.load(options.catalog)
    models = known.models.values()
    if options.name is None:
        return tables.overview([known_here(model, options.assets) for model in models])
    chosen = [known_here(model, options.assets) for model in known.select("models", [options.name])]
    return [line for model in chosen for line in (*tables.whole(model, models), *known.unfamiliar(model))]


def _tasks(options: argparse.Namespace) -> list[str]:
    known = catalog.load(options.catalog)
    if options.name is None:
        return tables.tasks(known.tasks.values())
    return [line for card in known.select("tasks", [options.name]) for line in tables.task(card)]


def _table(options: argparse.Namespace) -> list[str]:
    columns, known = COLUMNS[options.verb], catalog.load(options.catalog).axes[options.verb]
    rows = [columns, *([_cell(getattr(row, column)) for column in columns] for row in known.values())]
    widths = [max(len(row[i]) for row in rows) for i in range(len(columns))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _cell(value: Any) -> str:
    return ",".join(value) if isinstance(value, tuple) else str(value)


DOES: Mapping[str, Callable[[argparse.Namespace], list[str]]] = {
    "models": _models,
    "prune": _pruned,
    "score": _scored,
    "skills": _trained,
    "tasks": _tasks,
}
"""What a verb does where it does not list an axis by its columns."""


if __name__ == "__main__":
    raise SystemExit(main())
