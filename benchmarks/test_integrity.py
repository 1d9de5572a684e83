"""What is a score on this data set worth? One case per task, without a model: counts, duplicates, leakage, balance."""

import pytest

pytestmark = pytest.mark.integrity


def test_integrity(audit, gate):
    gate.hold(audit)
