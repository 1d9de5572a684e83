"""The job summary: what GitHub shows of a run."""

from dataclasses import replace

from markdown_it import MarkdownIt

from medrival.reports.github import ROWS, markdown
from medrival.reports.record import AuditRecord, Run

HOSTILE = "<b onclick=x> | `c` [a](http://x) http://evil @who $x$ \u202e\n# head"


def test_every_measured_pair_is_a_row_from_the_medical_lead_to_the_general_one(run: Run) -> None:
    lines = list(markdown(run))
    rows = [
        line
        for line in lines
        if "general wins" in line or "medical wins" in line or "| equivalent" in line or "| inconclusive" in line
    ]
    ordered = sorted(run.pairs, key=lambda pair: pair.difference or 0)
    assert len(rows) == len(run.pairs)
    assert f"{ordered[0].difference:+.3f}" in rows[0]
    assert f"{ordered[-1].difference:+.3f}" in rows[-1]
    assert lines.index("</details>") > lines.index(
        "- **Both off the shelf, in-domain**: No: medical ahead in 6 of 6 (6 of 6 wins hold after Holm's correction)"
    )


def test_without_pairs_there_is_no_table_of_them(run: Run) -> None:
    lost = tuple(replace(pair, status="skipped", reason="no data") for pair in run.pairs)
    assert not any("<details>" in line for line in markdown(replace(run, pairs=lost)))


def test_a_quick_look_says_so(run: Run) -> None:
    quick = tuple(replace(case, notes={"limit": 24}) for case in run.cases)
    assert "Limited to 24 samples of each split: a quick look, not a result." in list(markdown(replace(run, cases=quick)))


def test_whatever_names_and_reasons_say_a_summary_stays_below_what_github_drops(run: Run) -> None:
    pair = replace(run.pairs[0], general="é|" * 900, medical="是" * 900, task="*" * 900)
    lost = replace(run.cases[0], status="failed", id="<" * 900, reason="是" * 900)
    text = "\n".join(markdown(replace(run, pairs=(pair,) * 2 * ROWS, cases=(lost,) * 2 * ROWS)))
    assert len(text.encode()) < 2**20
    cut = "\n".join(markdown(run, 2000))
    assert len(cut.encode()) <= 2000
    assert cut.endswith("\n\n... and more: see report.html.")


def test_names_in_the_table_of_pairs_are_text(run: Run) -> None:
    pair = replace(run.pairs[0], general=HOSTILE, task=HOSTILE, metric=HOSTILE)
    parsed = MarkdownIt("commonmark", {"html": True}).enable("table").parse("\n".join(markdown(replace(run, pairs=(pair,)))))
    kinds = {child.type for token in parsed for child in token.children or ()}
    assert kinds <= {"text", "text_special", "strong_open", "strong_close", "softbreak"}
    blocks = [token.content.strip() for token in parsed if token.type == "html_block"]
    assert blocks == ["<details><summary>Pairs: general minus medical, with 95% intervals</summary>", "</details>"]


def test_a_data_set_that_failed_its_audit_is_not_left_out(run: Run) -> None:
    lost = AuditRecord("phantom-chest", "failed", "12 images | cannot be read")
    assert "| failed | phantom-chest | 12 images \\| cannot be read |" in list(markdown(replace(run, audits=(lost,))))
