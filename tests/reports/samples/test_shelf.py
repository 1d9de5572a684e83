"""Where the browser's parts lie, and what is in them."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from medrival.errors import UnreadableImage
from medrival.reports.record import Run
from medrival.reports.samples import Shelf, shelf, shelve, stamp
from medrival.reports.samples.answers import telling
from medrival.reports.samples.thumbnails import EACH, MOST

HOSTILE = "</script><!--<script>\u2028\u2029\ud800\u0000"


def shelved(run: Run, image: Image.Image | None = None, shareable: set[str] | None = None) -> Shelf:
    known = {case.task for case in run.cases} if shareable is None else shareable
    taken = Shelf(run.report_dir, stamp(run))
    shelve(taken, run, lambda _task, _sample: image, known, {})
    taken.clear()
    return taken


def beside(folder: Path) -> dict[str, tuple[str, object]]:
    """By file, the stamp and the content that a browser would be handed."""
    found = {}
    for path in sorted((folder / "samples").rglob("*.js")):
        call = re.fullmatch(r"medrival\.take\((.*)\);\n", path.read_text(encoding="ascii"), re.DOTALL)
        assert call
        told, name, content = json.loads(f"[{call[1]}]")
        assert path.name == f"part-{name}.js"
        found[str(path.relative_to(folder / "samples"))] = (told, content)
    return found


def in_page(taken: Shelf) -> dict[str, object]:
    return {part.name: json.loads(part.text) for part in taken.parts}


def test_a_small_report_has_its_parts_in_the_page_and_no_folder(run: Run) -> None:
    small = replace(run, cases=run.cases[:2])
    parts = in_page(shelved(small))
    assert {"index", "case-0", "case-1", "task-0", "pictures-0-0"} <= set(parts)
    assert not (run.report_dir / "samples").exists()


def test_what_does_not_fit_lies_beside_and_the_page_stays_small(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shelf, "INLINE", 50_000)
    taken = shelved(run)
    whole, files = in_page(taken), beside(run.report_dir)
    assert sum(len(part.text) for part in taken.parts) <= 50_000
    assert "index" in whole
    assert files
    assert {told for told, _ in files.values()} == {stamp(run)}
    names = {*whole, *(Path(file).stem.removeprefix("part-") for file in files)}
    assert {f"case-{i}" for i in range(len(run.cases))} <= names


def test_every_answer_is_there_once_and_belongs_to_its_sample(run: Run) -> None:
    case = replace(run.cases[-1], predictions=run.cases[-1].predictions[:30])
    fewer = replace(case, id="fewer", model="other", predictions=case.predictions[10:20])
    parts = in_page(shelved(replace(run, cases=(case, fewer))))
    sheet, said = parts["task-0"], parts["case-0"]
    assert sheet["id"] == [p.id for p in case.predictions]
    assert [said["answer"]["values"][row] for row in said["answer"]["rows"]] == [p.answer for p in case.predictions]
    assert [sheet["truth"]["values"][row] for row in sheet["truth"]["rows"]] == [p.truth for p in case.predictions]
    assert sheet["letters"][1] == "." * 10 + sheet["letters"][0][10:20] + "." * 10


def test_hostile_text_cannot_leave_its_string(run: Run) -> None:
    spoiled = tuple(
        replace(p, answer=HOSTILE, question=HOSTILE, attributes={HOSTILE: HOSTILE}) for p in run.cases[-1].predictions
    )
    taken = shelved(replace(run, cases=(replace(run.cases[-1], predictions=spoiled, task=HOSTILE, model=HOSTILE),)))
    for part in taken.parts:
        assert part.text.isascii()
        assert "<" not in part.text
    assert in_page(taken)["index"]["tasks"][0]["name"] == HOSTILE


def test_images_that_may_not_be_passed_on_never_are_in_the_page_nor_in_the_shared_folder(run: Run) -> None:
    red = Image.new("RGB", (300, 200), (200, 10, 10))
    task = run.cases[0].task
    parts = in_page(shelved(run, red, shareable={case.task for case in run.cases} - {task}))
    local = [file for file in beside(run.report_dir) if file.startswith("local/")]
    number = next(i for i, entry in enumerate(parts["index"]["tasks"]) if entry["name"] == task)
    assert local == [f"local/part-pictures-{number}-{i}.js" for i in range(MOST // EACH)]
    assert [entry["name"] for entry in parts["index"]["tasks"] if entry["local"]] == [task]
    shared = [file for file in beside(run.report_dir) if file.startswith(f"part-pictures-{number}-")]
    assert not shared
    assert f"pictures-{number}-0" not in parts


def test_of_a_large_task_only_the_most_telling_images_are_kept(run: Run) -> None:
    seen: list[str] = []

    def images(_task: str, sample: str) -> None:
        seen.append(sample)

    case = run.cases[0]
    many = tuple(replace(p, id=f"{copy}-{p.id}") for copy in range(3) for p in case.predictions)
    taken = Shelf(run.report_dir, "stamp")
    shelve(
        taken,
        replace(run, cases=(replace(case, predictions=many),)),
        images,
        {case.task},
        {},
    )
    assert len(seen) == len(set(seen)) == MOST
    pictures = in_page(taken)["task-0"]["picture"]
    assert sorted(place for place in pictures if place is not None) == list(range(MOST))
    assert pictures.count(None) == len(many) - MOST


def test_a_picture_that_cannot_be_read_says_why(run: Run) -> None:
    def broken(_task: str, sample: str) -> None:
        raise UnreadableImage(f"{sample}: truncated")

    taken = Shelf(run.report_dir, "stamp")
    shelve(taken, replace(run, cases=run.cases[:1]), broken, {run.cases[0].task}, {})
    assert in_page(taken)["pictures-0-0"][0]["absent"].endswith(": truncated")


def test_a_later_report_removes_what_an_earlier_one_left_and_nothing_else(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shelf, "INLINE", 50_000)
    red = Image.new("RGB", (30, 20), (200, 10, 10))
    shelved(run, red, shareable=set())
    mine = run.report_dir / "samples" / "notes.js"
    mine.write_text("mine")
    (run.report_dir / "samples" / "part-of-mine.js").write_text("mine")
    monkeypatch.setattr(shelf, "INLINE", 10_000_000)
    shelved(replace(run, cases=run.cases[:1]))
    left = sorted(path.name for path in (run.report_dir / "samples").rglob("*.js"))
    assert left == ["notes.js", "part-of-mine.js"]


def test_samples_on_which_models_disagree_come_first_whatever_their_order() -> None:
    ids = ["easy", "hard", "split", "lone"]
    letters = ["rwrr", "rwww", "rwrw", "rwww"]
    assert telling(ids, letters)[:2] == [2, 3]
    back = telling(ids[::-1], [letter[::-1] for letter in letters])
    assert [ids[::-1][row] for row in back] == [ids[row] for row in telling(ids, letters)]
    assert telling([], []) == []


def test_a_case_that_failed_has_no_answers_and_a_run_without_cases_no_tasks(run: Run) -> None:
    lost = replace(run.cases[0], status="failed")
    assert in_page(shelved(replace(run, cases=(lost,))))["index"]["tasks"] == []


def test_the_index_is_in_the_page_whatever_its_size(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shelf, "INLINE", 0)
    assert list(in_page(shelved(run))) == ["index"]
