"""What the tests of gates share: the pocket suite's plan, one of its cases, and gates read from a text."""

import pytest

from medrival.case import Case
from medrival.gates import Gates
from medrival.plan import Plan, Selection


@pytest.fixture(scope="module")
def plan(rows) -> Plan:
    return Plan.of(rows, Selection("pocket"))


@pytest.fixture(scope="module")
def case(plan) -> Case:
    return plan.cases["pocket-clip-phantom-chest-lora"]


@pytest.fixture
def gates(plan, rows, tmp_path):
    def make(text: str, limit: int | None = None) -> Gates:
        (tmp_path / "gates.toml").write_text(text)
        return Gates.of([tmp_path / "gates.toml"], plan, rows, None, limit)

    return make
