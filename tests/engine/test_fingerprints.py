"""What a stored outcome depends on."""

from __future__ import annotations

from pathlib import Path

import medrival.tasks.metrics.diagnosis
import medrival.tasks.scorers.judge
from medrival import fingerprints, statistics
from medrival.models import generator
from medrival.regimes import lora
from medrival.tasks import answers


def test_whatever_computes_a_stored_number_is_in_the_code_fingerprint():
    modules = (answers, generator, lora, medrival.tasks.metrics.diagnosis, statistics.bootstrap, statistics.delong)
    assert {Path(str(module.__file__)) for module in modules} <= fingerprints.sources()


def test_what_is_kept_in_no_outcome_is_not():
    assert Path(str(medrival.tasks.scorers.judge.__file__)) not in fingerprints.sources()
