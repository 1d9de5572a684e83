"""The format of a gate file: what it may say, and the one error that each mistake is."""

import re
from pathlib import Path

import pytest

from medrival.errors import BrokenGates
from medrival.gates import Gates, read
from medrival.gates.margins import Margin
from medrival.gates.rules import (
    CostBound,
    MaxLeakage,
    MetricBound,
    NoRegression,
    NotWorseThan,
    Required,
    SubgroupGap,
    VerdictIn,
)
from medrival.plan import Plan, Selection

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def plan(rows) -> Plan:
    return Plan.of(rows, Selection("pocket"))


@pytest.fixture
def written(tmp_path):
    def write(text: str) -> Path:
        (tmp_path / "gates.toml").write_text(text)
        return tmp_path / "gates.toml"

    return write


def gate(*keys: str) -> str:
    return "\n".join(["[[gate]]", 'name = "one"', *keys])


def test_the_example_of_the_documentation_is_a_gate_file_for_the_pocket_suite(written, plan, rows):
    (example,) = re.findall(r"```toml\n(.*?)```", (ROOT / "docs" / "gates.md").read_text(), flags=re.S)
    gates = Gates.of([written(example)], plan, rows, None, None)
    assert {type(one.rule) for one in gates.gates} == {
        *(MetricBound, CostBound, NotWorseThan, NoRegression, SubgroupGap, VerdictIn, MaxLeakage, Required)
    }
    assert gates.idle == []
    assert [one.name for one in gates.gates if one.lenient] == ["knows how sure it is"]
    assert gates.gates[4].rule == NotWorseThan("", "pocket-medclip", "zero-shot", Margin(0.02, 0.95))
    assert gates.gates[1].rule == MetricBound("", 0.7, "least")
    assert gates.gates[3].globs == ("pocket-clip-*-lora", "pocket-clip-*-linear-probe")


def test_the_example_of_the_readme_is_a_gate_file_for_the_pocket_suite(written, plan, rows):
    (example,) = re.findall(r"```\n# gates.toml\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.S)
    gates = Gates.of([written(example)], plan, rows, None, None)
    assert len(gates.rivals) == len(gates.gates) == 1


BOUND = ('cases = "*"', "at-least = 0.5")
RIVAL = 'not-worse-than = { model = "pocket-medclip", margin = 0.02 }'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[gate]", "not a readable TOML file"),
        ("", "it holds no gate"),
        ("gate = 3", "it holds no gate"),
        ("gates = []", "unknown key 'gates'; a gate file has [[gate]] tables alone"),
        ("[[gate]]\ncases = '*'\nat-least = 0.5", "gate 1 lacks 'name'"),
        (gate('cases = "*"'), "gate 1 'one' has no rule; write one of at-least, at-most"),
        (gate(*BOUND, "at-most = 0.9"), "has 2 rules (at-least, at-most)"),
        (gate("at-least = 0.5"), "lacks 'cases'"),
        (gate("cases = []", "at-least = 0.5"), "cases is []; it must be a text or a list of texts"),
        (gate('cases = "*"', 'at-least = "high"'), "at-least is 'high'; it must be a number"),
        (gate('cases = "*"', "at-least = true"), "at-least is True; it must be a number"),
        (gate('cases = "*"', "at-least = nan"), "at-least is nan; it must be a number"),
        (gate('cases = "*"', "at-least = inf"), "at-least is inf; it must be a number"),
        (gate(*BOUND, 'metrik = "auroc"'), "the key 'metrik' has no place here. Did you mean 'metric'?"),
        (gate(*BOUND, 'pairs = "*"'), "the key 'pairs' has no place here"),
        (gate(*BOUND, 'inconclusive = "maybe"'), "inconclusive is 'maybe'; it must be one of fail, pass"),
        (
            gate('cases = "*"', 'cost = "seconds"', 'metric = "auroc"', "at-most = 3"),
            "gate 1 'one': metric and cost exclude each other; give each a [[gate]] of its own",
        ),
        (gate('cases = "*"', 'cost = "money"', "at-most = 3"), "cost is 'money'; it must be one of seconds, train_seconds"),
        (gate('cases = "*"', 'no-regression-from = "baseline"'), "lacks 'margin'"),
        (gate('cases = "*"', 'no-regression-from = "last"', "margin = 0.1"), "it must be one of baseline"),
        (gate('cases = "*"', 'no-regression-from = "baseline"', "margin = 0"), "margin is 0; it must be a number above 0"),
        (
            gate('cases = "*"', 'no-regression-from = "baseline"', "margin = 0.1", "confidence = 95"),
            "confidence is 95; it must be a number between 0.5 and 1",
        ),
        (gate('cases = "*"', "not-worse-than = 'clip'"), "it must be a table"),
        (gate('cases = "*"', "not-worse-than = { margin = 0.1 }"), "not-worse-than lacks 'model'"),
        (gate('cases = "*"', RIVAL.replace("margin", "margim")), "not-worse-than lacks 'margin'"),
        (gate('cases = "*"', "subgroup-gap = { attribute = 'sex', at-most = 0.1, by = 2 }"), "the key 'by' has no place here"),
        (gate('pairs = "*"', 'verdict = ["draw"]'), "unknown verdict 'draw'; there are general wins"),
        (gate('cases = "*"', 'verdict = ["equivalent"]'), "lacks 'pairs'"),
        (gate('required = "*"', 'inconclusive = "pass"'), "the key 'inconclusive' has no place here"),
        (gate(*BOUND) + "\n" + gate(*BOUND), "gate 2 'one' is a second gate of that name beside"),
    ],
)
def test_a_mistake_in_the_file_is_one_error_that_names_gate_and_key(written, text, message):
    with pytest.raises(BrokenGates, match=re.escape(message)) as caught:
        read(written(text))
    assert "gates.toml" in str(caught.value)
    assert "\n" not in str(caught.value) or "TOML" in str(caught.value)


def test_a_file_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(BrokenGates, match=r"missing.toml: not a readable TOML file"):
        read(tmp_path / "missing.toml")


def test_all_of_several_files_hold_and_a_name_is_given_once(tmp_path, plan, rows):
    first, second = tmp_path / "a.toml", tmp_path / "b.toml"
    first.write_text(gate(*BOUND))
    second.write_text(gate(*BOUND).replace("one", "two"))
    assert [one.name for one in Gates.of([first, second], plan, rows, None, None).gates] == ["one", "two"]
    second.write_text(gate(*BOUND))
    message = f"{second}: gate 1 'one' is a second gate of that name beside {first}: gate 1 'one'"
    with pytest.raises(BrokenGates, match=re.escape(message)):
        read(first, second)


def test_a_byte_order_mark_is_no_mistake(tmp_path):
    (tmp_path / "gates.toml").write_bytes(b"\xef\xbb\xbf" + gate(*BOUND).encode())
    assert [one.name for one in read(tmp_path / "gates.toml")] == ["one"]


CHEST = 'cases = "pocket-clip-phantom-chest-lora"'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (gate(CHEST, 'metric = "auroq"', "at-least = 0.5"), "has no metric 'auroq' to go by. Did you mean 'auroc'?"),
        (gate('cases = "*"', 'metric = "auroc"', "at-least = 0.5"), "A vqa case has accuracy"),
        (gate(CHEST, 'metric = "judge_accuracy"', "at-least = 0.5"), "has no metric 'judge_accuracy'"),
        (gate(CHEST, RIVAL.replace("medclip", "medclop")), "unknown model 'pocket-medclop'. Did you mean 'pocket-medclip'"),
        (
            gate(CHEST, 'not-worse-than = { model = "pocket-medclip", regime = "loora", margin = 0.1 }'),
            "unknown regime 'loora'. Did you mean 'lora'",
        ),
        (
            gate(CHEST, 'not-worse-than = { model = "pocket-llava", margin = 0.1 }'),
            "lora adapts no generator such as pocket-llava to phantom-chest",
        ),
        (
            gate('cases = "pocket-*clip-phantom-chest-lora"', RIVAL),
            "it would compare pocket-medclip-phantom-chest-lora with itself",
        ),
    ],
)
def test_what_cannot_be_judged_is_an_error_before_anything_runs(written, plan, rows, text, message):
    with pytest.raises(BrokenGates, match=re.escape(message)):
        Gates.of([written(text)], plan, rows, None, None)


JUDGED = '[[gate]]\nname = "judge"\ncases = "pocket-llava-phantom-chest-vqa-*"\nmetric = "judge_accuracy"\nat-least = 0.5\n'
OWN = '[[gate]]\nname = "own"\ncases = "pocket-llava-phantom-chest-vqa-{}"\nat-least = 0.5\n'
TOOTHLESS = {
    "lenient": OWN.format("*") + 'inconclusive = "pass"\n',
    "a bound that nothing misses": OWN.format("*").replace("0.5", "0"),
    "a bound on the wrong side": OWN.format("*").replace("at-least", "at-most"),
    "a margin that nothing exceeds": OWN.format("*").replace(
        "at-least = 0.5", 'not-worse-than = { model = "pocket-medllava", margin = 1 }'
    ),
    "bertscore": OWN.format("*") + 'metric = "bertscore_f1"\n',
    "whether answers can be read": OWN.format("*").replace("at-least", "at-most") + 'metric = "unparseable_rate"\n',
}
COST = '[[gate]]\nname = "cost"\ncases = "pocket-llava-phantom-chest-vqa-*"\ncost = "seconds"\nat-most = 9\n'


@pytest.mark.parametrize("company", ["", OWN.format("lora"), COST], ids=["alone", "for one of two cases", "a cost"])
def test_no_case_rests_on_a_judge_alone(written, plan, rows, company):
    with pytest.raises(BrokenGates, match="gate 1 'judge' would rest on judge_accuracy alone"):
        Gates.of([written(JUDGED + company)], plan, rows, None, None)


@pytest.mark.parametrize("company", TOOTHLESS.values(), ids=TOOTHLESS)
def test_a_gate_that_a_bad_model_passes_is_no_company_for_a_judge(written, plan, rows, company):
    with pytest.raises(BrokenGates, match="gate 1 'judge' would rest on judge_accuracy alone"):
        Gates.of([written(JUDGED + company)], plan, rows, None, None)


def test_a_rival_of_the_same_quality_is_company_for_a_judge(written, plan, rows):
    own = OWN.format("*").replace("at-least = 0.5", 'not-worse-than = { model = "pocket-medllava", margin = 0.05 }')
    assert len(Gates.of([written(JUDGED + own)], plan, rows, None, None).gates) == 2


def test_a_judge_may_stand_beside_a_metric_of_our_own(written, plan, rows):
    assert len(Gates.of([written(JUDGED + OWN.format("*"))], plan, rows, None, None).gates) == 2


def test_the_metrics_of_paper_a_decide_no_gate(written, plan, rows):
    from medrival.tasks.metrics import METRICS

    names = [name for name in METRICS["vqa"] if name.startswith("medvlmbench_")]
    assert names
    for name in names:
        with pytest.raises(BrokenGates, match=f"{name} decides no gate"):
            Gates.of([written(JUDGED.replace("judge_accuracy", name) + OWN.format("*"))], plan, rows, None, None)


@pytest.mark.parametrize("rule", [RIVAL, 'no-regression-from = "baseline"\nmargin = 0.02'], ids=["rival", "baseline"])
def test_a_metric_whose_difference_chance_understates_is_held_to_no_margin(written, plan, rows, rule):
    with pytest.raises(BrokenGates, match=re.escape("bound it with at-most, or use brier_score")):
        Gates.of([written(gate(CHEST, 'metric = "ece"', rule))], plan, rows, None, None)
    for allowed in (gate(CHEST, 'metric = "brier_score"', rule), gate(CHEST, 'metric = "ece"', "at-most = 0.1")):
        assert len(Gates.of([written(allowed)], plan, rows, None, None).gates) == 1


def test_a_rival_has_the_task_and_seed_of_the_case_and_a_budget_of_its_own(written, rows):
    plan = Plan.of(rows, Selection("pocket", seeds=(0, 1)))
    text = gate('cases = "pocket-clip-phantom-chest-lora*"', RIVAL) + "\n"
    text += gate('cases = "pocket-clip-phantom-chest-lora*"', RIVAL.replace(", m", ', regime = "zero-shot", m')).replace(
        "one", "two"
    )
    rivals = Gates.of([written(text)], plan, rows, None, None).rivals
    assert {key: case.id for key, case in rivals.items()} == {
        ("one", "pocket-clip-phantom-chest-lora"): "pocket-medclip-phantom-chest-lora",
        ("one", "pocket-clip-phantom-chest-lora-seed1"): "pocket-medclip-phantom-chest-lora-seed1",
        ("two", "pocket-clip-phantom-chest-lora"): "pocket-medclip-phantom-chest-zero-shot",
        ("two", "pocket-clip-phantom-chest-lora-seed1"): "pocket-medclip-phantom-chest-zero-shot",
    }
    planned = plan.cases["pocket-medclip-phantom-chest-lora-seed1"]
    assert rivals["one", "pocket-clip-phantom-chest-lora-seed1"] == planned, "so that the store knows it"


def test_a_gate_of_which_a_glob_matches_nothing_is_known_before_the_run(written, plan, rows):
    text = gate('cases = ["pocket-clip-*", "pocket-klip-*"]', 'cost = "seconds"', "at-most = 1") + "\n"
    text += gate('cases = "pocket-clip-*"', 'cost = "seconds"', "at-most = 1").replace("one", "two")
    assert Gates.of([written(text)], plan, rows, None, None).idle == ["one"]
