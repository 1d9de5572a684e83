"""The last lines in the terminal."""

from dataclasses import replace

import pytest

from medrival.reports.against import Against
from medrival.reports.github import markdown
from medrival.reports.html import write_html
from medrival.reports.questions import answers, questions
from medrival.reports.record import CaseRecord, PairRecord, Run, Status
from medrival.reports.summary import summary
from medrival.statistics import Verdict


def ended(pair: PairRecord, *verdicts: Verdict) -> tuple[PairRecord, ...]:
    return tuple(replace(pair, question=1, verdict=verdict, difference=0.1, p_adjusted=0.001) for verdict in verdicts)


def test_a_whole_study_is_answered_in_80_columns(run: Run) -> None:
    lines = summary(run)
    assert lines[0] == "medrival: 40 cases measured, 0 failed, 0 skipped in 4:12"
    assert "  Off the shelf, in-domain  No: medical ahead in 6 of 6; " in lines[2]
    assert lines[-1] == f"report: {run.report_dir / 'report.html'}"
    assert all(len(line) <= 80 for line in lines[:-1])


@pytest.mark.parametrize(
    ("verdicts", "said"),
    [
        (["general wins"], "Yes: general ahead in 1 of 1"),
        (["equivalent", "equivalent"], "Yes: equivalent in 2 of 2"),
        (["general wins", "equivalent"], "Yes: general ahead in 1, equivalent in 1"),
        (["general wins", "inconclusive"], "Yes, where decided: general ahead in 1, undecided in 1"),
        (["medical wins"], "No: medical ahead in 1 of 1"),
        (["medical wins", "inconclusive"], "No, where decided: medical ahead in 1, undecided in 1"),
        (["medical wins", "equivalent"], "In part: medical ahead in 1, equivalent in 1"),
        (
            ["general wins", "medical wins", "equivalent", "inconclusive"],
            "In part: general ahead in 1, medical ahead in 1, equivalent in 1, undecided in 1",
        ),
        (["inconclusive"] * 3, "Undecided in 3 of 3"),
    ],
)
def test_verdicts_in_words(run: Run, verdicts: list[Verdict], said: str) -> None:
    answer = answers(ended(run.pairs[0], *verdicts))[0]
    assert answer.sentence == said
    lines = summary(replace(run, pairs=ended(run.pairs[0], *verdicts)))
    spread = " (+0.10 to +0.10)" if len(verdicts) > 1 else ""
    assert f"Off the shelf, in-domain {said}; +0.10{spread} Only general" in " ".join(" ".join(lines).split())
    assert all(len(line) <= 80 for line in lines[:-1])


def test_a_baseline_that_was_not_compared_is_not_passed_over(run: Run) -> None:
    lines = summary(replace(run, baseline=Against("old.json", "", None, "a file is damaged; " * 9 + "name another")))
    assert "not compared with the baseline: a file is damaged; " in " ".join(lines)
    assert "name another" in " ".join(lines)
    assert all(len(line) <= 80 for line in lines[:-1])
    assert "not compared with the baseline" not in " ".join(summary(run))


def test_the_difference_is_the_mean_over_pairs_with_its_range(run: Run) -> None:
    pairs = [replace(run.pairs[0], difference=value) for value in (-0.30, -0.10, -0.20, None, float("nan"))]
    assert summary(replace(run, pairs=tuple(pairs)))[2].endswith("ahead in 5 of 5; -0.20 (-0.30 to -0.10)")


def test_wins_that_do_not_outlast_the_correction_are_not_counted_as_upheld(run: Run) -> None:
    ps = (0.001, 0.049, 0.05, 0.2, None)
    won = [replace(pair, p_adjusted=p) for p, pair in zip(ps, ended(run.pairs[0], *["medical wins"] * 5), strict=True)]
    level = replace(won[0], verdict="equivalent")
    answer = answers([*won, level])[0]
    assert (answer.held, answer.correction) == (2, "2 of 5 wins hold after Holm's correction")
    assert questions([*won, level])[0]["wins_after_correction"] == 2
    run = replace(run, pairs=(*won, level))
    assert "  after Holm's correction 2 of 5 wins left" in summary(run)
    assert "2 of 5 wins hold after Holm&#39;s correction." in write_html(replace(run, cases=()), lambda *_: None).read_text()
    assert any("(2 of 5 wins hold after Holm's correction)" in line for line in markdown(run))


@pytest.mark.parametrize(
    ("verdicts", "upheld", "said"),
    [
        (["general wins"] + ["inconclusive"] * 19, 0, "Undecided: general ahead in 1, undecided in 19"),
        (["medical wins"] * 2, 0, "Undecided: medical ahead in 2 of 2"),
        (["medical wins"] * 2, 1, "No, where decided: medical ahead in 2 of 2"),
        (["medical wins", "general wins"], 0, "Undecided: general ahead in 1, medical ahead in 1"),
        (["medical wins", "general wins"], 1, "In part: general ahead in 1, medical ahead in 1"),
        (["general wins"] + ["medical wins"] * 9, 1, "In part: general ahead in 1, medical ahead in 9"),
        (["medical wins"] * 9 + ["equivalent"], 0, "In part: medical ahead in 9, equivalent in 1"),
        (["general wins"] * 2 + ["equivalent"], 0, "Yes, where decided: general ahead in 2, equivalent in 1"),
    ],
)
def test_no_word_claims_what_does_not_hold_after_the_correction(
    run: Run, verdicts: list[Verdict], upheld: int, said: str
) -> None:
    pairs = tuple(
        replace(pair, p_adjusted=0.001 if i < upheld else 0.9) for i, pair in enumerate(ended(run.pairs[0], *verdicts))
    )
    run = replace(run, pairs=pairs)
    assert questions(pairs)[0]["sentence"] == said
    assert f"Off the shelf, in-domain {said}; +0.10" in " ".join(" ".join(summary(run)).split())
    page = write_html(replace(run, cases=()), lambda *_: None).read_text()
    assert f'<div class="word">{said.partition(":")[0]}</div>' in page
    assert any(f": {said} (" in line for line in markdown(run))


def test_where_nobody_won_no_correction_is_told(run: Run) -> None:
    assert not [line for line in summary(replace(run, pairs=ended(run.pairs[0], "equivalent"))) if "Holm" in line]


def test_pairs_that_were_not_measured_count_in_no_statistic_and_are_told(run: Run) -> None:
    lost = replace(run.pairs[0], status="failed", reason="out of memory", difference=9.0)
    lines = summary(replace(run, pairs=(run.pairs[0], lost)))
    assert "medical ahead in 1 of 1" in lines[2]
    assert "9.00" not in "".join(lines)
    assert "  1 pair failed: out of memory" in lines


def test_a_question_without_pairs_is_said_to_be_not_measured(run: Run) -> None:
    lines = summary(replace(run, pairs=run.pairs[:1]))
    assert lines[3:5] == [
        "  Only general adapted      Not measured",
        "  Adapted, out of domain    Not measured",
    ]


def test_without_any_measured_pair_it_says_that_nothing_was_compared(run: Run) -> None:
    lines = summary(replace(run, cases=run.cases[:1], pairs=()))
    assert lines[0].startswith("medrival: 1 case measured")
    assert "no pair was measured" in lines[1]


def test_reasons_are_grouped_and_the_most_frequent_comes_first(run: Run) -> None:
    def lost(reason: str, times: int) -> list[object]:
        return [replace(run.cases[0], status="skipped", reason=reason, predictions=(), metrics={})] * times

    cases = (*lost("no weights", 1), *lost("no data", 3), *(case for i in range(9) for case in lost(f"other {i}", 1)))
    lines = summary(replace(run, cases=cases, pairs=()))  # type: ignore[arg-type]
    assert lines[0] == "medrival: 0 cases measured, 0 failed, 13 skipped in 4:12"
    at = lines.index("  3 cases skipped: no data")
    assert lines[at + 1] == "  1 case skipped: no weights"
    assert lines[-2] == "  5 cases more not measured, for other reasons: see the report"


def test_a_reason_cannot_steer_the_terminal_or_flood_it(run: Run) -> None:
    reason = "\x1b[2J\r\nbad \u202eword" + " word" * 10_000
    lines = summary(replace(run, cases=(replace(run.cases[0], status="failed", reason=reason),), pairs=()))
    assert all(line.isprintable() and len(line) <= 80 for line in lines[:-1])
    assert len(lines) < 20


def test_the_advice_at_the_end_of_the_first_reason_of_each_status_is_shown(run: Run) -> None:
    def lost(status: Status, number: int) -> CaseRecord:
        return replace(run.cases[0], status=status, reason=f"{number}" + " word" * 100 + f" advice {number}")

    shown = "\n".join(summary(replace(run, cases=(lost("skipped", 1), lost("skipped", 2), lost("failed", 3)), pairs=())))
    assert [advice in shown for advice in ("advice 1", "advice 2", "advice 3")] == [True, False, True]


def test_a_candidate_without_a_rival_is_told_to_have_one(run: Run) -> None:
    assert "give the candidate a --rival" in summary(replace(run, pairs=()), alone=True)[1]


def test_failed_samples_are_counted(run: Run) -> None:
    predictions = tuple(replace(p, error="unreadable") for p in run.cases[0].predictions[:5])
    lines = summary(replace(run, cases=(replace(run.cases[0], predictions=predictions),)))
    assert "  5 samples failed and counted as wrong; the report lists them" in lines


def test_answers_that_a_judge_left_unscored_are_counted(run: Run) -> None:
    never, partly, asked = ({"judge": {"model": "m", "asked": 12, "failed": failed}} for failed in (12, 3, 0))
    cases = tuple(replace(case, notes=notes) for case, notes in zip(run.cases, (never, partly, asked), strict=False))
    lines = summary(replace(run, cases=cases, pairs=()))
    assert lines[-3:-1] == [
        "  judge: 15 of 24 answers could not be scored: its metrics have no value in 2",
        "    cases; the report says why",
    ]
    assert not any(line.startswith("  judge") for line in summary(replace(run, cases=cases[2:], pairs=())))


def test_verbose_adds_all_metrics_of_each_measured_case_the_primary_one_first(run: Run) -> None:
    lost = replace(run.cases[1], status="failed", reason="x")
    run = replace(run, cases=(run.cases[0], lost), pairs=())
    extra = [line for line in summary(run, verbose=True) if line not in summary(run)]

    def said(name: str) -> str:
        metric = run.cases[0].metrics[name]
        return f"{name} {metric['value']:.3f} [{metric['low']:.3f}, {metric['high']:.3f}]"

    assert extra == [f"  {run.cases[0].id}  n=240", f"    {said('auroc')}, {said('accuracy')}"]


def test_many_metrics_are_wrapped_between_them_never_inside_one(run: Run) -> None:
    about = run.cases[0].metrics["auroc"]
    metrics = {"auroc": about, **{f"metric_number_{i}": about for i in range(9)}, "undefined": {"value": None}}
    lines = summary(replace(run, cases=(replace(run.cases[0], metrics=metrics),), pairs=()), verbose=True)
    told = [line for line in lines if line.startswith("    ") and "[" in line]
    assert len(told) > 3
    assert all(len(line) <= 80 and line.count("[") == line.count("]") for line in told)
    assert any(line.endswith("undefined n/a") for line in lines)


def test_verbose_tells_what_a_verdict_rests_on(run: Run) -> None:
    extra = [line for line in summary(run, verbose=True) if line not in summary(run)]
    pair = run.pairs[0]
    at = extra.index(f"  {pair.id}  {pair.verdict}")
    assert extra[at + 1].startswith(f"    {pair.metric} {pair.difference:+.3f} [")
    assert f"margin {pair.margin:g}" in extra[at + 1]
    assert all(len(line) <= 80 for line in extra if line.startswith("    "))


def test_what_was_selected_and_makes_no_case_is_told_with_its_reason(run: Run) -> None:
    sentences = ("ham10000 is not for lora: it has no training split", "qlora needs the package bitsandbytes")
    lines = summary(replace(run, not_planned=sentences))
    at = lines.index(f"  not planned: {sentences[0]}")
    assert lines[at + 1] == f"  not planned: {sentences[1]}"
    long = summary(replace(run, not_planned=(*(f"{'word ' * 99}\x1b[2J" for _ in range(5)),)))
    told = [i for i, line in enumerate(long) if "not planned" in line]
    assert told[-1] - told[0] <= 6
    assert long[told[-1]] == "  not planned: 3 more; report.json has them, in run.not_planned"
    assert all(len(line) <= 80 and line.isprintable() for line in long[:-1])
