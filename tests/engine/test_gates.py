"""The gates of a run as a whole: which cases each is about, and what becomes of those that were not measured."""

import numpy as np
import pytest

from medrival.case import Comparison
from medrival.statistics import Difference, Estimate
from tests.engine.measured import AUROC, NOTHING, outcome

CHEST, FUNDUS = "pocket-clip-phantom-chest-lora", "pocket-clip-phantom-fundus-lora"
BOTH = f'[[gate]]\nname = "sees"\ncases = ["{CHEST}", "{FUNDUS}"]\nmetric = "auroc"\nat-least = 0.8\n'
GOOD = outcome(auroc=AUROC)
MEASURED = ("measured", "")


@pytest.mark.parametrize(
    "fate",
    [("failed", "out of memory"), ("skipped", "no data"), ("skipped", "not reached: the run was stopped before"), None],
)
def test_a_case_that_was_not_measured_fails_its_gate_whatever_was_judged(gates, fate):
    run = gates(BOTH)
    judged = [*run.judge(CHEST, GOOD, NOTHING.evaluate), *run.judge(FUNDUS, GOOD, NOTHING.evaluate)]
    fates = {CHEST: MEASURED} | ({FUNDUS: fate} if fate else {})
    settled = {one.case: one for one in run.settle(judged, fates)}
    assert settled[CHEST].holds
    assert not settled[FUNDUS].holds
    assert (fate[1] if fate else "it was not selected") in settled[FUNDUS].explanation


def test_a_measured_case_that_no_test_held_to_its_gates_fails(gates):
    run = gates(BOTH)
    (one, other) = run.settle(run.judge(CHEST, GOOD, NOTHING.evaluate), {CHEST: MEASURED, FUNDUS: MEASURED})
    assert one.holds
    assert not other.holds
    assert other.explanation == "it was measured, but no test held it to its gates"


def test_a_gate_that_matches_nothing_fails_even_where_its_other_globs_match(gates):
    run = gates(BOTH.replace(FUNDUS, "pocket-klip-*"))
    found = run.settle(run.judge(CHEST, GOOD, NOTHING.evaluate), {CHEST: MEASURED})
    assert [(one.subject, one.holds) for one in found] == [("", False), (CHEST, True)]
    assert found[0].explanation == "none of the cases of this run matches 'pocket-klip-*'"


def test_inconclusive_fails_unless_the_gate_says_otherwise(gates):
    between = BOTH.replace("0.8\n", "0.83\n")
    (strict,) = gates(between).judge(CHEST, GOOD, NOTHING.evaluate)
    (lenient,) = gates(between + 'inconclusive = "pass"\n').judge(CHEST, GOOD, NOTHING.evaluate)
    assert (strict.status, strict.holds) == ("inconclusive", False)
    assert (lenient.status, lenient.holds) == ("inconclusive", True)
    (failed,) = gates(BOTH.replace("0.8\n", "0.9\n") + 'inconclusive = "pass"\n').judge(CHEST, GOOD, NOTHING.evaluate)
    assert (failed.status, failed.holds) == ("failed", False)


def test_nothing_passes_under_a_limit(gates):
    run = gates(BOTH + f'[[gate]]\nname = "ran"\nrequired = "{CHEST}"\n', limit=50)
    judged = run.judge(CHEST, GOOD, NOTHING.evaluate)
    found = run.settle(judged, {CHEST: MEASURED, FUNDUS: MEASURED})
    assert not any(one.holds for one in found)
    assert all("a --limit run never passes" in one.explanation for one in found if one.subject != FUNDUS)


def test_required_counts_what_is_there_and_names_what_is_not(gates):
    run = gates('[[gate]]\nname = "ran"\nrequired = ["pocket-clip-phantom-*-lora", "nobody"]\n')
    ids = [f"pocket-clip-phantom-{part}-lora" for part in ("chest", "histology", "dermoscopy", "fundus")]
    fates = dict.fromkeys(ids, MEASURED)
    (found,) = run.settle([], fates | {ids[0]: ("failed", "no gradient")})
    assert (found.status, found.measured, found.required) == ("failed", 3, 5)
    assert "nobody (matches nothing in this run); pocket-clip-phantom-chest-lora (failed: no gradient)" in found.explanation
    whole = gates('[[gate]]\nname = "ran"\nrequired = "pocket-clip-phantom-*-lora"\n')
    (found,) = whole.settle([], fates)
    assert (found.status, found.holds, found.measured) == ("passed", True, 4)


def test_of_an_empty_run_no_gate_holds(gates):
    text = BOTH + '[[gate]]\nname = "ran"\nrequired = "*"\n[[gate]]\nname = "pairs"\npairs = "*"\nverdict = "equivalent"\n'
    found = gates(text).settle([], {})
    assert {one.name for one in found} == {"sees", "ran", "pairs"}
    assert not any(one.holds for one in found)


def test_judgements_hold_nothing_that_xdist_cannot_carry(gates):
    measured = outcome(auroc=Estimate(np.float64(0.9), np.float64(0.88), np.float64(0.92), 10))
    for judgement in gates(BOTH).judge(CHEST, measured, NOTHING.evaluate):
        assert {type(value) for value in vars(judgement).values()} <= {str, bool, float, type(None)}


def test_a_rule_on_cases_is_not_asked_about_pairs(gates, plan):
    gap = Difference(0.1, 0.06, 0.14, 0.01, 240)
    pair = next(iter(plan.pairs))
    run = gates(BOTH + '[[gate]]\nname = "pairs"\npairs = "*"\nverdict = "general wins"\n')
    (judged,) = run.judge(pair, Comparison("auroc", gap, "general wins", 0.05), NOTHING.evaluate)
    assert (judged.name, judged.case, judged.pair, judged.holds) == ("pairs", None, pair, True)
