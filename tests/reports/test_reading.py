import json
from dataclasses import replace
from pathlib import Path

import pytest

from medrival.errors import BrokenReport
from medrival.reports.json_report import write_json
from medrival.reports.reading import read_run
from medrival.reports.record import Run


def test_a_report_read_back_is_written_the_same(run: Run, tmp_path: Path) -> None:
    written = write_json(run)
    again = write_json(replace(read_run(written.parent), report_dir=tmp_path / "again"))
    assert again.read_bytes() == written.read_bytes()
    for file in sorted((run.report_dir / "predictions").iterdir()):
        assert (again.parent / "predictions" / file.name).read_bytes() == file.read_bytes()


def test_a_run_read_back_is_the_run(run: Run) -> None:
    write_json(run)
    assert read_run(run.report_dir) == run


def test_a_folder_without_a_report_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BrokenReport, match=r"report\.json cannot be read"):
        read_run(tmp_path)


def test_a_lost_prediction_is_told_and_not_left_out(run: Run) -> None:
    write_json(run)
    file = next(iter((run.report_dir / "predictions").iterdir()))
    file.write_text("".join(file.read_text().splitlines(keepends=True)[1:]))
    with pytest.raises(BrokenReport, match="239 predictions, not 240"):
        read_run(run.report_dir)


def test_a_file_of_predictions_outside_the_folder_is_not_opened(run: Run) -> None:
    path = write_json(run)
    report = json.loads(path.read_text())
    report["cases"][0]["predictions"] = "../../etc/passwd"
    path.write_text(json.dumps(report))
    with pytest.raises(BrokenReport, match="no file of predictions"):
        read_run(run.report_dir)


def test_a_limit_that_is_no_number_is_damage(run: Run) -> None:
    path = write_json(run)
    report = json.loads(path.read_text())
    report["cases"][0]["notes"]["limit"] = "many"
    path.write_text(json.dumps(report))
    with pytest.raises(BrokenReport, match="its note limit is no number"):
        read_run(run.report_dir)


@pytest.mark.parametrize("damage", ["[]", "{}", '{"schema": "1"}', '{"schema": "1", "run": 3, "cases": []}', "nonsense"])
def test_damage_is_named(run: Run, damage: str) -> None:
    write_json(run).write_text(damage)
    with pytest.raises(BrokenReport, match=r"report\.json"):
        read_run(run.report_dir)
