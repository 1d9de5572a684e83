"""Shards of a run, and what a merge makes of them: the run itself."""

import io
import json
import shutil
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path

import jsonschema
import pytest

from medrival.__main__ import main
from tests.conftest import Study, command

ROOT = Path(__file__).parents[2]
CATALOG = """
[suites.theirs]
models = ["pocket-clip", "theirs", "hollow", "absent"]
tasks = ["phantom-chest"]
regimes = ["zero-shot"]

[models.theirs]
kind = "medical"
type = "dual-encoder"
family = "pocket-clip"
partner = "pocket-clip"
budget = "pocket"
adapter = "medrival.models.dual_encoder:transformers"
weights = "theirs"
saw = ["phantom chest radiograph"]

[models.hollow]
kind = "medical"
type = "dual-encoder"
family = "pocket-clip"
partner = "pocket-clip"
budget = "pocket"
adapter = "medrival.models.dual_encoder:transformers"
weights = "hollow"
saw = ["phantom chest radiograph"]

[models.absent]
kind = "general"
type = "dual-encoder"
family = "pocket-clip"
partner = "theirs"
budget = "pocket"
adapter = "medrival.models.dual_encoder:transformers"
weights = "nobody/absent"
"""
GATES = """
[[gate]]
name = "above nothing"
cases = "pocket-clip-*"
at-least = 0.01
[[gate]]
name = "keeps up"
cases = "theirs-phantom-chest-*"
not-worse-than = { model = "pocket-clip", margin = 0.01 }
[[gate]]
name = "rivals"
pairs = "pocket-clip~theirs-*"
verdict = ["general wins", "medical wins", "equivalent", "inconclusive"]
[[gate]]
name = "nothing leaks"
tasks = "*"
max-leakage = 0.9
"""
RAN_ALL = '[[gate]]\nname = "everything ran"\nrequired = "*"\n'


@pytest.fixture(scope="module")
def folder(tmp_path_factory, drawn, rows) -> Path:
    """A suite of someone else's: a pair, a model that is broken, and one whose weights are missing."""
    from medrival.weights import locate

    folder = tmp_path_factory.mktemp("merge")
    (folder / "store").mkdir()
    (folder / "store" / "tasks").symlink_to(drawn)
    (folder / "my.toml").write_text(CATALOG)
    (folder / "hollow").mkdir()
    shutil.copytree(locate(rows.models["pocket-medclip"], None), folder / "theirs")
    (folder / "gates.toml").write_text(GATES)
    (folder / "all.toml").write_text(RAN_ALL)
    return folder


def inline(folder: Path, *arguments: object) -> Study:
    """A run in this process; its report goes to the folder that the last --report-dir names."""
    (folder / "empty").mkdir(exist_ok=True)
    suite = ("--catalog", folder / "my.toml", "--suite", "theirs")
    said = io.StringIO()
    with chdir(folder / "empty"), redirect_stdout(said), redirect_stderr(said):
        status = pytest.main(command(folder, *map(str, (*suite, *arguments)))[3:])
    return Study(int(status), said.getvalue(), folder)


def merged(folder: Path, shards: list[Path], *arguments: object) -> Study:
    said = io.StringIO()
    with chdir(folder / "empty"), redirect_stdout(said), redirect_stderr(said):
        status = main(["merge", *map(str, (*shards, "--report-dir", folder / "merged", *arguments))])
    return Study(status, said.getvalue(), folder)


def report(folder: Path) -> dict:
    return json.loads((folder / "report.json").read_text())


def edited(folder: Path, **about: object) -> None:
    content = report(folder)
    content["run"]["shard"] |= about
    (folder / "report.json").write_text(json.dumps(content))


@pytest.fixture(scope="module")
def whole(folder) -> Study:
    return inline(folder, "--report-dir", folder / "whole")


@pytest.fixture(scope="module")
def shards(folder, whole) -> list[Path]:
    """The report folders of its three shards."""
    parts = [folder / f"shard{part}" for part in (1, 2, 3)]
    for part, place in enumerate(parts, 1):
        inline(folder, "--shard", f"{part}/3", "--report-dir", place)
    return parts


def test_each_test_is_in_one_shard_and_pairs_across_shards_wait_for_the_merge(folder, whole, shards):
    names = [{row["id"] for row in report(shard)["cases"]} for shard in shards]
    assert sum(map(len, names)) == len(set().union(*names)) == len(report(folder / "whole")["cases"])
    assert all(names)
    pairs = [row for shard in shards for row in report(shard)["pairs"]]
    assert sorted(row["id"] for row in pairs) == sorted(row["id"] for row in report(folder / "whole")["pairs"])
    assert any("python -m medrival merge compares them" in row["reason"] for row in pairs)
    assert sum(len(report(shard)["integrity"]) for shard in shards) == 1
    schema = json.loads((ROOT / "reports" / "report.schema.json").read_text())
    for shard in shards:
        jsonschema.validate(report(shard), schema)


def test_merged_shards_are_the_run_itself(folder, whole, shards):
    done = merged(folder, shards)
    assert done.status == whole.status == 1, done.output  # the hollow model fails in both
    first, second = report(folder / "whole"), report(folder / "merged")
    assert {row["status"] for row in first["cases"]} == {"measured", "failed", "skipped"}
    assert any(row["verdict"] for row in first["pairs"])
    for one in (first, second):
        del one["run"]
    assert first == second
    for file in (folder / "whole" / "predictions").iterdir():
        assert file.read_bytes() == (folder / "merged" / "predictions" / file.name).read_bytes()
    jsonschema.validate(report(folder / "merged"), json.loads((ROOT / "reports" / "report.schema.json").read_text()))
    assert "merged from 3 shards" in done.output
    assert (folder / "merged" / "report.html").stat().st_size > 10_000


def test_gates_are_judged_by_the_merge_as_by_the_run(folder, whole, shards):
    inline(folder, "--report-dir", folder / "gated", "--gate", folder / "gates.toml")
    merged(folder, shards, "--gate", folder / "gates.toml")
    first, second = report(folder / "gated")["gates"], report(folder / "merged")["gates"]
    assert first == second
    assert {gate["name"] for gate in first} == {"above nothing", "keeps up", "rivals", "nothing leaks"}
    assert {gate["status"] for gate in first} >= {"passed"}


def test_what_no_shard_measured_fails_a_gate_at_the_merge(folder, shards):
    done = merged(folder, shards, "--gate", folder / "all.toml")
    assert done.status == 1
    assert "FAILED  everything ran" in done.output
    assert "absent-phantom-chest-zero-shot (failed: " in " ".join(done.output.split())


def test_a_shard_judges_no_gate_and_the_merge_knows_those_it_was_given(folder, whole):
    chosen = ("--models", "pocket-clip,theirs", "--gate", folder / "all.toml")
    parts = [folder / f"gated{part}" for part in (1, 2)]
    ran = [inline(folder, *chosen, "--shard", f"{part}/2", "--report-dir", place) for part, place in enumerate(parts, 1)]
    assert [one.status for one in ran] == [0, 0], "neither has all cases"
    assert [report(part)["gates"] for part in parts] == [[], []]
    done = merged(folder, parts)
    assert done.status == 0, done.output
    assert [gate["holds"] for gate in report(folder / "merged")["gates"]] == [True]


def test_a_selection_that_leaves_out_what_its_pairs_need_runs_it_in_the_shards(folder, whole):
    chosen = ("--models", "pocket-clip,theirs", "-k", "test_rivalry")
    inline(folder, *chosen, "--report-dir", folder / "pairs")
    parts = [folder / f"pairs{part}" for part in (1, 2)]
    for part, place in enumerate(parts, 1):
        inline(folder, *chosen, "--shard", f"{part}/2", "--report-dir", place)
    assert merged(folder, parts).status == 0
    first, second = report(folder / "pairs"), report(folder / "merged")
    assert first["pairs"] == second["pairs"]
    assert [pair["status"] for pair in first["pairs"]] == ["measured"]
    assert first["cases"] == second["cases"]


def test_a_shard_without_a_case_says_so_and_passes_but_a_merge_of_nothing_does_not(folder, whole):
    chosen = ("--models", "theirs", "-k", "test_diagnosis")
    parts = [folder / f"one{part}" for part in (1, 2)]
    ran = [inline(folder, *chosen, "--shard", f"{part}/2", "--report-dir", place) for part, place in enumerate(parts, 1)]
    assert [one.status for one in ran] == [0, 0]
    assert sorted("holds no case" in one.output for one in ran) == [False, True]
    assert merged(folder, parts).status == 0
    nothing = [folder / f"none{part}" for part in (1, 2)]
    for part, place in enumerate(nothing, 1):
        inline(folder, *chosen[:-1], "no_such_test", "--shard", f"{part}/2", "--report-dir", place)
    assert merged(folder, nothing).status == pytest.ExitCode.NO_TESTS_COLLECTED


def test_a_shard_that_was_stopped_makes_the_merge_fail_though_nothing_in_it_did(folder, whole):
    chosen = ("--models", "pocket-clip,theirs", "-k", "test_diagnosis")
    parts = [folder / f"stopped{part}" for part in (1, 2)]
    for part, place in enumerate(parts, 1):
        inline(folder, *chosen, "--shard", f"{part}/2", "--report-dir", place)
    content = report(parts[0])
    content["run"]["exit_status"] = int(pytest.ExitCode.INTERRUPTED)
    (parts[0] / "report.json").write_text(json.dumps(content))
    assert merged(folder, parts).status == pytest.ExitCode.INTERRUPTED


def test_missing_double_and_foreign_shards_are_one_clear_error(folder, shards, tmp_path):
    copies = [shutil.copytree(shard, tmp_path / shard.name) for shard in shards]
    first, second, third = copies

    def refused(*chosen: Path) -> str:
        done = merged(folder, list(chosen))
        assert done.status == 2
        assert "Traceback" not in done.output
        return done.output

    assert "of 3 shards, 2 is missing; name all of them" in refused(first, third)
    assert "are the same shard; name one of them" in refused(first, second, second)
    assert "no report.json of a shard" in refused(first, tmp_path / "nowhere")
    assert "its report.json is of no shard" in refused(first, folder / "whole")
    assert "a shard's report is there" in merged(folder, copies, "--report-dir", first).output
    options = report(second)["run"]["shard"]["options"]
    edited(second, options={**options, "--suite": "pocket"})
    assert '--suite was "theirs" in one and "pocket" in the other' in refused(*copies)
    edited(second, options=options, code="other")
    assert "they ran different code" in refused(*copies)
    edited(second, code=report(first)["run"]["shard"]["code"], of=4)
    assert "one is a part of 3, the other of 4" in refused(*copies)
    edited(second, of=3, work="other")
    assert "they were not cut alike" in refused(*copies)


def test_one_case_with_two_outcomes_is_an_error_and_one_outcome_twice_is_none(folder, shards, tmp_path):
    copies = [shutil.copytree(shard, tmp_path / shard.name) for shard in shards]
    giver = next(shard for shard in copies if any(row["status"] == "measured" for row in report(shard)["cases"]))
    taker = next(shard for shard in copies if shard != giver)
    row = next(row for row in report(giver)["cases"] if row["status"] == "measured")
    for key in ("predictions", "validation"):
        if row[key]:
            (taker / "predictions").mkdir(exist_ok=True)
            shutil.copy(giver / row[key], taker / row[key])
    content = report(taker)
    content["cases"].append(row | {"cost": row["cost"] | {"seconds": 77.0}})
    (taker / "report.json").write_text(json.dumps(content))
    assert merged(folder, copies).status == 1
    lines = (taker / row["predictions"]).read_text().splitlines()
    said = json.loads(lines[0])
    changed = json.dumps(said | {"scores": said["scores"][::-1]})
    (taker / row["predictions"]).write_text("\n".join([changed, *lines[1:]]) + "\n")
    done = merged(folder, copies)
    assert done.status == 2
    assert f"have different outcomes of {row['id']}" in done.output


def test_a_folder_without_its_predictions_fails_the_case_that_asks_for_them(folder, shards, tmp_path):
    copies = [shutil.copytree(shard, tmp_path / shard.name) for shard in shards]
    for shard in copies:
        shutil.rmtree(shard / "predictions", ignore_errors=True)
    done = merged(folder, copies)
    assert done.status == 1
    assert "keep the report folder whole" in done.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--shard", "0/5"), "'0/5' is no part of a run"),
        (("--shard", "x"), "'x' is no part of a run"),
        (("--shard", "1/2", "--baseline", "b.json", "--update-baseline"), "a shard is no whole run"),
        (("--shard", "1/2", "--models", "pocket-clip", "--gate", "gates.toml"), "no case of this run: add it with --models"),
    ],
)
def test_a_wrong_shard_is_one_usage_error(folder, arguments, message):
    (folder / "empty").mkdir(exist_ok=True)
    (folder / "empty" / "gates.toml").write_text(
        '[[gate]]\nname = "x"\ncases = "*"\nnot-worse-than = { model = "theirs", margin = 0.1 }\n'
    )
    done = inline(folder, *arguments)
    assert done.status == pytest.ExitCode.USAGE_ERROR
    assert message in done.output
    assert "Traceback" not in done.output
