"""What a stored outcome depends on."""

from __future__ import annotations

import ast
from importlib.util import find_spec
from pathlib import Path

import pytest

import medrival.tasks.metrics.diagnosis
import medrival.tasks.scorers.judge
from medrival import answered, bench, evaluate, fingerprints, keys, statistics
from medrival.models import generator
from medrival.regimes import lora
from medrival.tasks import answers


def test_whatever_computes_a_stored_number_is_in_the_code_fingerprint():
    modules = (answered, bench, evaluate, keys, answers, generator, lora, medrival.tasks.metrics.diagnosis)
    modules += (statistics.bootstrap, statistics.delong)
    assert {Path(str(module.__file__)) for module in modules} <= fingerprints.sources()


NOT_COUNTED = {
    "which model, data, regime and budget": {"cards", "case", "catalog", "endpoint", "errors", "plan"},
    "what is kept, and where": {"cache", "handover", "store"},
    "which weights, by their own hash": {"fingerprints", "weights", "lock"},
    "what it costs": {"memory", "pace"},
    "what is kept in no outcome": {"scorers"},
}
"""Of the modules that measure: what decides no number, or has a place of its own in an outcome's key."""


def imported_by(module: str) -> set[str]:
    """The modules of medrival that a module imports, wherever it does."""
    nodes = list(ast.walk(ast.parse(source_of(module).read_text())))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in names if name.startswith("medrival.") and is_module(name)}


def is_module(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:  # a name of a module that is no package
        return False


def source_of(module: str) -> Path:
    spec = find_spec(module)
    assert spec
    return Path(str(spec.origin))


def test_no_module_that_the_engine_measures_with_is_forgotten():
    used = {"medrival.evaluate"} | {name for module in fingerprints.ENGINE for name in imported_by(module)}
    known = {f"medrival.{name}" for names in NOT_COUNTED.values() for name in names}
    assert {name for name in used - known if source_of(name) not in fingerprints.sources()} == set()


def test_what_is_kept_in_no_outcome_is_not():
    assert Path(str(medrival.tasks.scorers.judge.__file__)) not in fingerprints.sources()


TOKENISERS = ["tokenizers", "sentencepiece", "jinja2", "ftfy", "regex"]
NEEDED_BY_SOME = ["accelerate", "bitsandbytes"]


@pytest.mark.parametrize("library", [*TOKENISERS, *NEEDED_BY_SOME])
def test_the_version_of_a_library_that_decides_tokens_or_that_only_some_runs_need_changes_it(library, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    information = tmp_path / f"{library}-0.0.1.dist-info"
    information.mkdir()
    found = []
    for version in ("0.0.1", "0.0.2"):
        (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {library}\nVersion: {version}\n")
        fingerprints.code.cache_clear()
        found.append(fingerprints.code())
    fingerprints.code.cache_clear()
    assert found[0] != found[1]
