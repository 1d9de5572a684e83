"""The options of a study: what they are, and what they select."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from medrival.catalog import ModelCard
from medrival.efficiency.lane import asked
from medrival.plan import Selection
from medrival.sense import names
from medrival.shards import Shard


def add(parser: pytest.Parser) -> None:
    """Declare them; a suite names the axes, and the options replace them."""
    group = parser.getgroup("medrival", "medrival: general against medical vision-language models")
    add = group.addoption
    add(
        "--suite",
        default="pocket",
        metavar="NAME",
        help="named selection of models, tasks and regimes (default: pocket)",
    )
    add("--models", metavar="NAMES", help="comma-separated names or globs instead of the suite's models")
    add("--tasks", metavar="NAMES", help="comma-separated names or globs instead of the suite's tasks")
    add("--regimes", metavar="NAMES", help="comma-separated names or globs instead of the suite's regimes")
    add("--budget", default="", metavar="NAME", help="of training, such as paper-a, instead of that of each model's row")
    add("--seeds", default="0", metavar="SEEDS", help="comma-separated seeds of training (default: 0)")
    add("--limit", type=_positive, metavar="N", help="at most N samples of each split, the same for every model")
    add("--assets", type=Path, metavar="DIR", help="folder with data sets and models")
    add("--strict-assets", action="store_true", help="fail, not skip, where weights or data are missing")
    add(
        "--catalog",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="TOML file with more rows (repeatable)",
    )
    add(
        "--candidate",
        type=Path,
        action="append",
        default=[],
        metavar="PATH",
        help="directory of a checkpoint that joins the run (repeatable)",
    )
    add("--candidate-kind", choices=("general", "medical"), default="medical", help="of the candidates (default: medical)")
    add("--candidate-saw", metavar="WORDS", help="comma-separated modalities of their pretraining; unknown where not given")
    add(
        "--candidate-thinking",
        type=_tokens,
        metavar="N",
        help="tokens that the candidates may think with before they answer (default: as many as base model or rival)",
    )
    add("--rival", metavar="MODEL", help="the model of the other kind that the candidates are held against")
    add("--lock", type=Path, metavar="FILE", help="fail cases whose model's weights or task's data are not those of FILE")
    add("--update-lock", action="store_true", help="write this run's weights and data to the --lock file instead")
    add(
        "--trust-remote-code",
        action="append",
        default=[],
        metavar="MODEL",
        help="let transformers run code that lies beside this model's weights (repeatable; default: never)",
    )
    add("--device", default="auto", metavar="DEVICE", help="auto, cpu, cuda, cuda:1, mps (default: auto)")
    add(
        "--backend",
        default="",
        metavar="NAME",
        help="what has generators answer in place of transformers: vllm, or vllm-transformers for transformers' code in vLLM",
    )
    add(
        "--workers-per-gpu",
        type=_positive,
        default=1,
        metavar="N",
        help="workers (-n) that may share a GPU, each with that part of its memory (default: 1)",
    )
    add(
        "--dtype",
        default="auto",
        choices=("auto", "float32", "bfloat16", "float16", "4bit"),
        help="precision of the weights (default: auto, bfloat16 on CUDA and float32 elsewhere)",
    )
    add(
        "--batch-size",
        type=_positive,
        default=64,
        metavar="N",
        help="of prediction, halved where memory runs out (default: 64)",
    )
    add(
        "--gate",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="TOML file of rules that cases and pairs must meet, or the run fails (repeatable)",
    )
    add(
        "--baseline", type=Path, action=_Once, metavar="FILE", help="an earlier run's report.json, for gates against regression"
    )
    add("--update-baseline", action="store_true", help="write this run's report and predictions to the --baseline file")
    add(
        "--shard",
        type=Shard.parse,
        metavar="I/N",
        help="run the I-th of N parts; cut by what cases took in --baseline, else by size; python -m medrival merge joins them",
    )
    add("--report-dir", type=Path, default=Path("reports/latest"), metavar="DIR", help="default: reports/latest")
    add(
        "--drop-leaked",
        action="store_true",
        help="report each score also without the test samples whose image or patient is in the training split",
    )
    add(
        "--keep-adapters",
        action="store_true",
        help="write what was trained, in peft's format, to adapters/ of the report folder",
    )
    add("--no-resume", action="store_true", help="measure anew what the store already has")
    add("--store", type=Path, metavar="DIR", help="where outcomes are kept (default: the user's cache folder)")


def check(config: pytest.Config) -> None:
    """Refuse what cannot be meant.

    Raises:
        pytest.UsageError: naming the option.
    """
    assets, device = config.getoption("--assets"), config.getoption("--device")
    if config.getoption("--update-lock") and config.getoption("--lock") is None:
        raise pytest.UsageError("--update-lock needs --lock FILE: where to write")
    if assets is not None and not assets.is_dir():
        raise pytest.UsageError(f"--assets {assets}: there is no such folder")
    if store := config.getoption("--store"):
        try:
            store.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise pytest.UsageError(f"--store {store}: no folder can be made there: {error.strerror}") from None
    folder = config.getoption("--report-dir").absolute()
    there = next(place for place in (folder, *folder.parents) if os.access(place, os.F_OK))
    if not config.option.collectonly and not (there.is_dir() and os.access(there, os.W_OK | os.X_OK)):
        why = "cannot be written" if there.is_dir() else "is no folder"
        raise pytest.UsageError(f"--report-dir {config.getoption('--report-dir')}: {there} {why}; name another folder")
    if backend := config.getoption("--backend"):
        _refuse_with_backend(config, backend)
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", device):
        raise pytest.UsageError(f"--device {device}: it must be auto, cpu, cuda, cuda:N or mps")


def _refuse_with_backend(config: pytest.Config, backend: str) -> None:
    """What only transformers does, or what a backend does by itself."""
    if config.getoption("--dtype") == "4bit":
        raise pytest.UsageError(f"--backend {backend}: it loads no weights in 4 bits; take another --dtype")
    if config.getoption("--workers-per-gpu") > 1:
        raise pytest.UsageError(f"--backend {backend}: it fills a GPU by itself; leave --workers-per-gpu away")
    if asked(config):
        raise pytest.UsageError(f"--backend {backend}: --efficiency measures what medrival does itself; ask for one of the two")


def selection(config: pytest.Config, candidates: Sequence[ModelCard]) -> Selection:
    """What is to be planned.

    Raises:
        pytest.UsageError: a seed is no number.
    """

    def given(option: str) -> tuple[str, ...] | None:
        listed = config.getoption(option)
        return None if listed is None else names(listed)

    seeds = given("--seeds") or ()
    if not seeds or not all(seed.isdecimal() for seed in seeds):
        raise pytest.UsageError(f"--seeds {config.getoption('--seeds')}: seeds are whole numbers, such as --seeds 0,1,2")
    return Selection(
        config.getoption("--suite"),
        given("--models"),
        given("--tasks"),
        given("--regimes"),
        tuple(dict.fromkeys(map(int, seeds))),
        config.getoption("--budget"),
        joining=tuple(name for card in candidates for name in (card.name, card.partner) if name),
        backend=config.getoption("--backend"),
    )


class _Once(argparse.Action):
    """Stores a value; a second one is an error, for it would take the place of the first."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option_string: str | None = None
    ) -> None:
        """Store the value."""
        if (first := getattr(namespace, self.dest)) is not None:
            parser.error(f"{option_string} {values}: there is a {option_string} {first} before; name one alone")
        setattr(namespace, self.dest, values)


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def _tokens(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of tokens")
    return int(text)
