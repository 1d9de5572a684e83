"""What a stored outcome depends on."""

from __future__ import annotations

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


def test_what_is_kept_in_no_outcome_is_not():
    assert Path(str(medrival.tasks.scorers.judge.__file__)) not in fingerprints.sources()


@pytest.mark.parametrize("library", ["accelerate", "bitsandbytes"])
def test_the_version_of_a_library_that_only_some_runs_need_changes_it(library, tmp_path, monkeypatch):
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
