"""Every chart, drawn: what its marks say, and what no text may do to it."""

import re
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser

import pytest
from sklearn.metrics import confusion_matrix

from medrival.contracts import Prediction
from medrival.reports import charts
from medrival.reports.charts.confusion import Else, Matrix, diagnosed_counts, most_confused, yes_no_counts
from medrival.reports.charts.cost import front, shared
from medrival.reports.charts.forest import forests
from medrival.reports.charts.heat import Bins
from medrival.reports.charts.shots import shots_of
from medrival.reports.charts.words import name, names
from medrival.reports.figures import estimate, signed

EVIL = '</svg><script>alert(1)</script>"><img src=x onerror=alert(1)>\u202e\x00\ud800{{7*7}} datum["x"] \\ \' '
PLACES = [place for places in charts.OVERVIEW.values() for place in places]


def said(figures):
    return [unescape(text) for figure in figures for text in re.findall(r'aria-label="([^"]*)"', figure.svg)]


def whole(places, cases):
    """All of them, none of which became a note that it could not be drawn."""
    figures = charts.drawn(places, cases)
    assert [figure.says for figure in figures if figure.title.startswith("Not drawn")] == []
    return figures


def drawn(place, cases):
    return whole([f"medrival.reports.charts.{place}"], cases)


@pytest.fixture(scope="module")
def small(study):
    """Of each task and model a few regimes."""
    kept = ("zero-shot", "linear-probe", "few-shot-probe-1", "few-shot-probe-4", "in-context-1", "in-context-2", "lora")
    return [case for case in study if case.regime in kept]


def test_cells_of_a_heat_map_say_the_records_numbers_or_why_there_are_none(study):
    texts = said(drawn("heat:heat_maps", study))
    for case in study:
        model = f"{case.model} · {case.kind}, {case.task}: "
        if case.status == "measured":
            name = {"auroc": "AUROC"}.get(case.primary, "closed accuracy")
            expected = f"{model}{name} {estimate(case.metrics[case.primary])}, n = {case.metrics[case.primary]['n']:,}"
        else:
            expected = f"{model}failed: CUDA out of memory"
        assert expected in texts


def test_a_cell_without_a_value_is_not_said_to_be_of_no_run(study):
    case = next(case for case in study if case.status == "measured")
    odd = replace(
        case, model="odd", metrics={case.primary: {"value": None, "low": None, "high": None, "reason": "one class only"}}
    )
    assert f"odd · {case.kind}, {case.task}: undefined: one class only" in said(drawn("heat:heat_maps", [case, odd]))


def test_a_seed_that_is_lost_is_told_beside_the_others(study):
    case = study[0]
    lost = replace(case, seed=1, status="failed", reason="CUDA out of memory", metrics={}, predictions=())
    (text,) = [text for text in said(drawn("heat:heat_maps", [case, lost])) if text.startswith(f"{case.model} · ")]
    assert text.endswith(f"n = {case.metrics[case.primary]['n']:,}; another seed failed: CUDA out of memory")


def test_few_shots_of_one_number_are_a_curve_from_zero_shot(study):
    cases = [case for case in study if case.regime in ("zero-shot", "in-context-2") and case.task == "questions"]
    (figure,) = drawn("shots:learning_curves", cases)
    assert all(any(estimate(case.metrics[case.primary]) in text for text in said([figure])) for case in cases)
    assert drawn("shots:learning_curves", [case for case in cases if case.regime != "zero-shot"]) == []


def test_slopes_learning_curves_and_details_say_the_records_numbers(study):
    chest = [case for case in study if case.task == "chest" and case.status == "measured"]
    texts = " ".join(said(drawn("slope:slopes", study)) + said(drawn("shots:learning_curves", study)))
    curves = " ".join(said(drawn("ranked:roc_curves", chest)) + said(drawn("calibrated:calibration_curves", chest)))
    for case in chest:
        assert estimate(case.metrics["auroc"]) in curves
        assert estimate(case.metrics["ece"]) in curves
        assert estimate(case.metrics["auroc"]) in texts or case.regime == "zero-shot"


def test_skills_subgroups_forms_and_findings_say_the_records_numbers(study):
    asked = [case for case in study if case.task == "questions"]
    for place, metrics in (
        ("skills:skills", ("accuracy_understanding", "accuracy_reasoning")),
        ("forms:by_form", ("closed_accuracy", "exact_match", "token_recall")),
    ):
        texts = " ".join(said(drawn(place, asked)))
        assert all(estimate(case.metrics[metric]) in texts for case in asked for metric in metrics)
    texts = said(drawn("groups:subgroup_gaps", asked))
    for case in asked:
        for group, one in case.subgroups["sex"]["groups"].items():
            whose = f"questions · {case.model} · {case.regime}, sex {group}"
            assert f"{whose}: closed accuracy {estimate(one)}, n = {one['n']}" in texts
    xray = [case for case in study if case.task == "xray"]
    texts = said(drawn("findings:by_finding", xray))
    assert all(f"{c.model}, {f}: AUROC {estimate(e)}" in texts for c in xray for f, e in c.per_class["auroc"].items())


def test_findings_have_no_roc_calibration_or_confusion(study):
    xray = [case for case in study if case.task == "xray"]
    assert (
        drawn("ranked:roc_curves", xray) + drawn("calibrated:calibration_curves", xray) + drawn("confusion:confusions", xray)
        == []
    )


def test_confusion_is_scikit_learns_with_failures_apart(study):
    case = next(case for case in study if case.task == "skin")
    counts = diagnosed_counts(case)
    kept = [p for p in case.predictions if not p.error]
    called = [case.classes[p.scores.index(max(p.scores))] for p in kept]
    expected = confusion_matrix([p.truth for p in kept], called, labels=case.classes)
    assert [[counts[true, called] for called in case.classes] for true in case.classes] == expected.tolist()
    assert sum(n for (_, what), n in counts.items() if what is Else.FAILED) == len(case.failed) == 3


def test_yes_no_answers_are_read_as_accuracy_reads_them(study):
    case = next(case for case in study if case.task == "questions")
    counts = yes_no_counts(case.predictions)
    right, n = counts["yes", "yes"] + counts["no", "no"], sum(counts.values())
    assert right / n == pytest.approx(case.metrics["closed_accuracy"]["value"])
    unread = sum(n for (_, what), n in counts.items() if isinstance(what, Else))
    assert unread / n == pytest.approx(case.metrics["unparseable_rate"]["value"])


def test_of_many_classes_the_most_confused_are_shown_and_the_rest_is_told(study):
    classes = tuple(f"class {i:02}" for i in range(20))
    counts = {(classes[i], classes[(i + 1) % 20]): 20 - i for i in range(20)}
    assert most_confused([Matrix("m", "r", counts)], classes) == [*classes[:11], *classes[11:12]]
    some = [Prediction(f"{i}", f"{i}", classes[i % 20], tuple(float(j == (i * 7) % 20) for j in range(20))) for i in range(200)]
    case = replace(study[0], classes=classes, predictions=tuple(some))
    (figure,) = drawn("confusion:confusions", [case])
    assert "Of 20 classes the 12 that are confused most; 80 of 200 samples, of the others, are not shown." in figure.says
    assert "(other classes)" in figure.svg


def test_seeds_that_are_not_shown_are_told(study):
    case = study[0]
    (figure,) = drawn("ranked:roc_curves", [case, replace(case, seed=1)])
    assert "Of several seeds, the first is shown." in figure.says


@pytest.mark.parametrize("place", [*PLACES, *charts.DETAIL])
def test_no_case_is_no_chart(place, study):
    assert whole([place], []) == []
    assert whole([place], [case for case in study if case.status == "failed"]) == []


@pytest.mark.parametrize("place", [*PLACES, *charts.DETAIL])
@pytest.mark.parametrize("task", ["chest", "questions"])
def test_a_single_case_does_no_harm(place, task, study):
    whole([place], [next(case for case in study if case.task == task)])


@pytest.mark.parametrize("place", [*PLACES, *charts.DETAIL])
def test_undefined_metrics_do_no_harm(place, small):
    nothing = {"value": None, "low": None, "high": None, "n": 0, "reason": "undefined"}
    hollow = [
        replace(
            case,
            metrics={metric: nothing | {"value": (None, float("nan"))[i % 2]} for i, metric in enumerate(case.metrics)},
            subgroups={a: {"metric": "auroc", "groups": {"x": nothing}, "gap": nothing} for a in case.subgroups},
            per_class={metric: dict.fromkeys(each, nothing) for metric, each in case.per_class.items()},
            cost=dict.fromkeys(case.cost),
        )
        for case in small
    ]
    figures = whole([place], hollow)
    assert "confusion" in place or not any(figure.svg for figure in figures)


def test_a_chart_that_cannot_be_drawn_says_why_and_leaves_the_others(study):
    chest = [case for case in study if case.task == "chest" and case.status == "measured"][:2]
    broken = replace(chest[0], predictions=tuple(replace(p, truth=EVIL) for p in chest[0].predictions))
    figures = charts.drawn(["no.such:chart", *charts.DETAIL], [broken, chest[1]])
    lost = [figure for figure in figures if not figure.svg]
    assert [figure.title for figure in lost][:2] == ["Not drawn: chart", "Not drawn: roc curves"]
    assert "BrokenData: " in lost[1].says
    assert "\x00" not in lost[1].says
    assert charts.drawn([PLACES[0]], [broken, chest[1]])[0].svg


def test_one_class_and_only_failures_do_no_harm(study):
    lost = tuple(replace(p, scores=(), error="x") for p in study[0].predictions)
    alone = tuple(replace(p, truth="a", scores=(1.0,)) for p in study[0].predictions if not p.error)
    for case in (replace(study[0], predictions=lost), replace(study[0], predictions=alone, classes=("a",))):
        figures = whole(charts.DETAIL, [case])
        assert any(figure.title == "Confusion matrices" for figure in figures)


@pytest.mark.parametrize("place", [*PLACES, *charts.DETAIL])
def test_hostile_text_is_inert(place, small):
    evil = [_hostile(case) for case in small]
    for figure in whole([place], evil):
        tags = _Tags()
        tags.feed(figure.svg)
        assert tags.found <= {"svg", "g", "path", "text", "rect", "line", "defs", "clippath", "tspan"}
        assert not [key for key in tags.attributes if key.startswith("on") or key in ("href", "xlink:href", "src")]
        assert tags.found
        assert "\x00" not in figure.svg
        assert "\u202e" not in figure.svg
        figure.svg.encode()
        figure.says.encode()


def test_forests_say_the_pairs_numbers_and_hostile_text_is_inert(pairs):
    texts = said(forests(pairs))
    for pair in pairs:
        expected = f"{signed(pair.difference)} [{signed(pair.low)}, {signed(pair.high)}], {pair.verdict}, n = {pair.n:,}"
        assert any(pair.task in text and pair.general in text and expected in text for text in texts)
    for figure in forests([replace(p, task=EVIL + p.task, general=EVIL * 9, medical=EVIL * 9 + "x") for p in pairs]):
        tags = _Tags()
        tags.feed(figure.svg)
        assert tags.found <= {"svg", "g", "path", "text", "rect", "line", "defs", "clippath", "tspan"}


def test_names_are_short_and_apart():
    long = ["a" * 500 + "1", "a" * 500 + "2", "", "  ", "b"]
    called = list(names(long).values())
    assert len(set(called)) == 5
    assert max(map(len, called)) < 100
    assert names(["x", "x (2)", "x"]) == {"x": "x", "x (2)": "x (2)"}
    assert name("a\n\tb") == "a b"


def test_the_front_is_what_nothing_beats():
    points = [(1.0, 0.5), (2.0, 0.7), (2.0, 0.8), (3.0, 0.75), (4.0, 0.9), (1.0, 0.4)]
    assert front(points) == [0, 2, 4]
    assert front([]) == []


def test_points_are_compared_on_the_tasks_they_share():
    asked = {"a": dict.fromkeys("xyz"), "b": dict.fromkeys("xyz"), "c": dict.fromkeys("x")}
    assert shared(asked) == {"x", "y", "z"}
    assert shared({}) == frozenset()


def test_what_is_left_out_of_the_cost_is_told(study):
    figure = drawn("cost:paretos", study)[0]
    assert "Left out, as not measured on all of these tasks: clip (linear-probe)" in figure.says
    assert "Means over 2 tasks: chest, skin" in figure.says


@pytest.mark.parametrize(
    ("values", "label"), [([0.61, 0.93], "0.60 to 0.65"), ([0.5], "0.50 to 0.52"), ([-3.0, 4.0], "-3.00 to -2.00")]
)
def test_bins_are_round_and_hold_every_value(values, label):
    bins = Bins.over(values)
    assert bins.label(bins.index(min(values))) == label
    assert 0 <= bins.index(max(values)) < 9


def test_regimes_name_their_shots():
    assert shots_of("tip-adapter-16") == ("tip-adapter", 16)
    assert [shots_of(text) for text in ("lora", "tip-adapter", "tip-adapter-0", "x-tip-adapter-1", "in-context-4\n")] == [
        None
    ] * 5


def _hostile(case):
    changed = {old: old + EVIL for old in case.classes}
    joined = {
        p.truth: "|".join(changed.get(t, t) for t in p.truth.split("|")) if case.classes else p.truth for p in case.predictions
    }
    return replace(
        case,
        id=EVIL,
        model=case.model + EVIL,
        task=case.task + EVIL,
        reason=EVIL,
        classes=tuple(changed.values()),
        predictions=tuple(
            replace(p, truth=joined[p.truth], answer=p.answer + EVIL * (not case.classes)) for p in case.predictions
        ),
        per_class={m: {changed.get(c, c): e for c, e in each.items()} for m, each in case.per_class.items()},
        subgroups={a + EVIL: {**s, "groups": {g + EVIL: e for g, e in s["groups"].items()}} for a, s in case.subgroups.items()},
    )


class _Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.found, self.attributes = set(), set()

    def handle_starttag(self, tag, attrs):
        self.found.add(tag)
        self.attributes |= {key for key, _ in attrs}


def test_curves_and_slopes_that_cannot_be_drawn_are_named(study):
    case = next(case for case in study if case.task == "chest" and case.regime == "lora" and case.status == "measured")
    undefined = replace(case, metrics={**case.metrics, "auroc": {"value": None, "low": None, "high": None, "n": 0}})
    (alone,) = charts.drawn(["medrival.reports.charts.ranked:roc_curves"], [undefined])
    assert (alone.svg, alone.says) == ("", f"No curve, as it is undefined: {case.model} lora.")
    other = next(one for one in study if one.task == "chest" and one.model != case.model and one.regime == "zero-shot")
    adapted = replace(case, model=other.model, id="other")
    (slopes,) = drawn("slope:slopes", [other, adapted, case])
    assert slopes.says.endswith(f"Not drawn, as there is no zero-shot of it: {case.model} on chest.")
