"""docs/metrics.md: the example does what the page says, in a package that someone else installed."""

import json
import re
import tomllib
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"
DIAGNOSIS, QUESTIONS = "pocket-clip-phantom-chest-zero-shot", "pocket-llava-phantom-chest-vqa-zero-shot"


@pytest.fixture
def installed(tmp_path) -> Path:
    """The page's files as pip would lay them out: the module, its catalog, and the entry points of its metadata."""
    files = dict(re.findall(r"```(?:python|toml)\n# (\S+)\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.S))
    site, project = tmp_path / "site", tomllib.loads(files["pyproject.toml"])["project"]
    about = site / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(f"Name: {project['name']}\nVersion: {project['version']}\n")
    points = "\n".join(f"{name} = {place}" for name, place in project["entry-points"]["medrival"].items())
    (about / "entry_points.txt").write_text(f"[medrival]\n{points}\n")
    (site / "my_metrics").mkdir()
    (site / "my_metrics" / "__init__.py").write_text(files["my_metrics/__init__.py"])
    (site / "my_metrics" / "catalog.toml").touch()
    (site / "gates.toml").write_text(files["gates.toml"])
    return site


def test_the_example_of_the_page_is_measured_and_held_to_its_gate(study, installed, tmp_path, drawn):
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "tasks").symlink_to(drawn)
    chosen = ("--models", "pocket-clip,pocket-llava", "--tasks", "phantom-chest,phantom-chest-vqa", "--regimes", "zero-shot")
    gate = ("--gate", str(installed / "gates.toml"), "-k", "not rivalry and not efficiency")
    done = study(*chosen, *gate, PYTHONPATH=str(installed))
    assert done.status == 0, done.output
    assert [(judged["name"], judged["status"]) for judged in done.report["gates"]] == [
        ("is not sure of what is wrong", "passed")
    ]
    cases = {case["id"]: case for case in done.report["cases"]}
    said = [json.loads(line) for line in (tmp_path / "report" / cases[DIAGNOSIS]["predictions"]).read_text().splitlines()]
    classes = cases[DIAGNOSIS]["classes"]
    wrong = [max(p["scores"]) >= 0.6 and classes[p["scores"].index(max(p["scores"]))] != p["truth"] for p in said]
    assert 0 < sum(wrong) < len(said)
    assert cases[DIAGNOSIS]["metrics"]["sure_and_wrong"]["value"] == pytest.approx(sum(wrong) / len(wrong))
    assert cases[DIAGNOSIS]["metrics"]["sure_and_wrong"]["high"] > sum(wrong) / len(wrong)
    path = tmp_path / "report" / cases[QUESTIONS]["predictions"]
    answers = [p["answer"] for p in map(json.loads, path.read_text().splitlines()) if p["form"] == "open"]
    found = cases[QUESTIONS]["metrics"]["terse"]
    assert (found["value"], found["n"]) == (
        pytest.approx(sum(len(one.split()) <= 3 for one in answers) / len(answers)),
        len(answers),
    )
