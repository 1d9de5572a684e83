"""Does the model answer questions about the image? One case per model, task and regime."""

import pytest

pytestmark = pytest.mark.vqa


def test_vqa(outcome, gate):
    gate.hold(outcome)
