"""How a run is cut into parts: by what cases take, the same on every machine, and no model without need."""

import argparse
import json
from dataclasses import replace
from itertools import groupby

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medrival.gates import Baseline
from medrival.plan import Plan, Selection
from medrival.shards import BY_ESTIMATE, COMPARED, REPLAYED, SLACK, Shard, Work, cut


@pytest.fixture(scope="module")
def plan(rows) -> Plan:
    return Plan.of(rows, Selection("pocket"))


def baseline(tmp_path, seconds: dict[str, float]) -> Baseline:
    rows = [{"id": name, "status": "measured", "cost": {"seconds": value}} for name, value in seconds.items()]
    path = tmp_path / "report.json"
    path.write_text(json.dumps({"schema": "1", "run": {"started": "2026-01-01T00:00:00+00:00"}, "cases": rows}))
    return Baseline.read(path)


def test_a_part_is_named_by_its_number_and_how_many_there_are():
    assert Shard.parse("2/5") == Shard(2, 5)
    assert str(Shard(2, 5)) == "2 of 5"


@pytest.mark.parametrize("text", ["0/5", "6/5", "x", "2", "1/0", "-1/5", "2/5/7", "1.0/2", "", "/"])
def test_a_part_that_there_is_not_is_refused(text):
    with pytest.raises(argparse.ArgumentTypeError, match="is no part of a run; the second of five is 2/5"):
        Shard.parse(text)


def named(models: list[list[int]]) -> tuple[list[list[str]], dict[str, int]]:
    ids = [[f"{m}-{c}" for c in range(len(model))] for m, model in enumerate(models)]
    return ids, {f"{m}-{c}": work for m, model in enumerate(models) for c, work in enumerate(model)}


def loads(parts: dict[str, int], work: dict[str, int], of: int) -> list[int]:
    return [sum(work[case] for case in parts if parts[case] == part) for part in range(1, of + 1)]


@given(st.lists(st.lists(st.integers(1, 1000), min_size=1, max_size=8), max_size=8), st.integers(1, 9))
def test_every_case_is_in_one_part_and_no_part_has_much_more_than_it_must(models, of):
    ids, work = named(models)
    parts = cut(ids, work, of)
    assert sorted(parts) == sorted(work)
    assert set(parts.values()) <= set(range(1, of + 1))
    share, largest = sum(work.values()) / of, max(work.values(), default=0)
    assert max(loads(parts, work, of)) <= share + max(SLACK * share, largest)


@given(st.lists(st.lists(st.integers(1, 1000), min_size=1, max_size=8), min_size=4, max_size=8), st.integers(1, 4))
def test_a_model_is_divided_only_where_it_is_more_than_a_share(models, of):
    ids, work = named(models)
    parts = cut(ids, work, of)
    share = sum(work.values()) / of
    for cases in ids:
        assert len({parts[case] for case in cases}) == 1 or sum(work[case] for case in cases) > SLACK * share


def test_a_model_that_is_most_of_the_work_is_divided_and_the_others_are_not():
    ids, work = named([[100] * 6, [10] * 3, [10] * 3, [10] * 3])
    parts = cut(ids, work, 3)
    assert [len({parts[case] for case in cases}) for cases in ids] == [3, 1, 1, 1]
    assert max(loads(parts, work, 3)) - min(loads(parts, work, 3)) <= 30


def test_fewer_models_than_parts_are_divided_so_that_all_parts_have_work():
    ids, work = named([[10] * 6] * 4)
    assert loads(cut(ids, work, 5), work, 5) == [50, 50, 40, 50, 50]
    ids, work = named([[10] * 7])
    assert sorted(loads(cut(ids, work, 3), work, 3)) == [20, 20, 30]


def test_a_case_takes_what_it_took_in_the_baseline_and_others_in_proportion_to_their_size(plan, tmp_path):
    known = {name: 2.5 for name, case in plan.cases.items() if case.model.name == "pocket-clip"}
    work = Work.of(plan.cases.values(), None, baseline(tmp_path, known))
    assert work.source == str(tmp_path / "report.json")
    assert {work.milliseconds[name] for name in known} == {2501}
    rough = Work.of(plan.cases.values(), None, None)
    assert rough.source == BY_ESTIMATE
    unknown = [name for name in plan.cases if name not in known]
    ratios = {round(work.milliseconds[name] / rough.milliseconds[name], 3) for name in unknown}
    assert max(ratios) - min(ratios) < 0.01


def test_without_a_baseline_what_is_larger_or_trained_takes_longer(plan):
    case = plan.cases["pocket-clip-phantom-chest-lora"]
    larger = replace(case, model=replace(case.model, name="larger", parameters=7.0))
    zero_shot = plan.cases["pocket-clip-phantom-chest-zero-shot"]
    work = Work.of([case, larger, zero_shot], None, None).milliseconds
    assert work[larger.id] > work[case.id] > work[zero_shot.id]
    limited = Work.of([case], 50, None).milliseconds
    assert limited[case.id] < work[case.id]


def test_a_baseline_that_knows_no_case_of_the_plan_is_no_ground(plan, tmp_path):
    assert Work.of(plan.cases.values(), None, baseline(tmp_path, {"other": 1.0})).source == BY_ESTIMATE


def test_the_cut_of_a_plan_keeps_models_whole(plan):
    models = [[case.id for case in cases] for _, cases in groupby(plan.cases.values(), key=lambda case: case.model.name)]
    parts = cut(models, Work.of(plan.cases.values(), None, None).milliseconds, 2)
    assert all(len({parts[case] for case in cases}) == 1 for cases in models)
    assert set(parts.values()) == {1, 2}


def test_a_merge_knows_of_every_option_whether_it_decides_anything(pytestconfig):
    machine = {"--device", "--assets", "--store", "--report-dir", "--no-resume", "--workers-per-gpu", "--judge-concurrency"}
    machine |= {"--shard", "--update-baseline", "--update-lock", "--keep-adapters", "--efficiency"}
    (group,) = [group for group in pytestconfig._parser._groups if group.name == "medrival"]
    ours = {name for option in group.options for name in option.names()}
    assert ours == machine | {*REPLAYED, *COMPARED}, "an option that changes what is measured must be equal in all shards"
