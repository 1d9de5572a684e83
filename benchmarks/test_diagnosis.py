"""Does the model recognise the disease? One case per model, task and regime."""

import pytest

pytestmark = pytest.mark.diagnosis


def test_diagnosis(outcome, gate):
    gate.hold(outcome)
