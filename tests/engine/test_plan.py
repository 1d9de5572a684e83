"""Which cases and pairs a run holds, in which order."""

import pytest

from medrival import catalog, plan
from medrival.errors import UnknownName
from medrival.plan import Plan, Selection, identity


def planned(**selection) -> Plan:
    return Plan.of(catalog.load(), Selection("pocket", **selection))


def test_the_pocket_suite_is_four_models_on_four_modalities():
    plan = planned()
    assert len(plan.cases) == 2 * 4 * 3 + 2 * 4 * 3
    assert len({case.task.name for case in plan.cases.values()}) == 8


def test_combinations_that_make_no_sense_are_not_planned():
    ids = set(planned().cases)
    assert "pocket-clip-phantom-chest-vqa-zero-shot" not in ids
    assert "pocket-llava-phantom-chest-linear-probe" not in ids
    assert "pocket-llava-phantom-chest-vqa-linear-probe" not in ids


def test_a_regime_that_trains_is_refused_on_a_task_that_is_a_test_alone_with_the_reason():
    asked = {"models": ("qwen2.5-vl-7b",), "regimes": ("zero-shot", "lora")}
    plan = planned(tasks=("mmmu-health", "slake-en"), **asked)
    assert {case.asked for case in plan.cases.values()} == {"mmmu-health-zero-shot", "slake-en-zero-shot", "slake-en-lora"}
    (refused,) = plan.refused
    assert refused.startswith("mmmu-health is not for lora: MMMU's test answers are not public")
    with pytest.raises(UnknownName, match=r"no case.*mmmu-health is not for lora: MMMU's test answers are not public"):
        planned(models=asked["models"], tasks=("mmmu-health",), regimes=("lora",))


def test_a_regime_in_4_bits_is_not_planned_where_the_package_for_it_is_missing_and_one_line_says_how_to_get_it(monkeypatch):
    asked = {"models": ("pocket-llava",), "tasks": ("phantom-chest-vqa",)}
    assert planned(regimes=("qlora",), **asked).refused == ()
    monkeypatch.setattr(plan, "find_spec", lambda _: None)
    without = planned(regimes=("zero-shot", "qlora"), **asked)
    assert {case.regime.name for case in without.cases.values()} == {"zero-shot"}
    assert without.refused == ("qlora needs the package bitsandbytes: python -m pip install bitsandbytes",)
    with pytest.raises(UnknownName, match=r"no case.*pip install bitsandbytes"):
        planned(regimes=("qlora",), **asked)


def test_pairs_answer_the_three_questions():
    pairs = planned(models=("pocket-clip", "pocket-medclip")).pairs
    by_question = {q: [p for p in pairs.values() if p.question == q] for q in (1, 2, 3)}
    assert {len(found) for found in (by_question[1], by_question[2], by_question[3])} == {3, 6, 2}
    asked = {q: {(p.general[0].regime.name, p.medical[0].regime.name) for p in found} for q, found in by_question.items()}
    assert asked[1] == {("zero-shot", "zero-shot")}
    assert all(general != "zero-shot" == medical for general, medical in asked[2])
    assert all(general == medical != "zero-shot" for general, medical in asked[3])
    assert all(p.domain == "ood" for p in by_question[3])
    assert "pocket-clip~pocket-medclip-phantom-fundus-lora" in pairs


def test_a_pair_holds_every_seed_and_zero_shot_has_one():
    plan = planned(models=("pocket-*clip",), tasks=("phantom-fundus", "phantom-chest"), seeds=(0, 1))
    assert sum(case.regime.name == "zero-shot" for case in plan.cases.values()) == 4
    assert "pocket-clip-phantom-fundus-lora-seed1" in plan.cases
    sides = [side for pair in plan.pairs.values() for side in (pair.general, pair.medical)]
    assert all([case.seed for case in side] == ([0, 1] if side[0].regime.seeded else [0]) for side in sides)


def test_an_option_replaces_its_axis_and_only_that():
    plan = planned(regimes=("lora",), tasks=("phantom-fundus*",))
    assert {case.regime.name for case in plan.cases.values()} == {"lora"}
    assert {case.task.name for case in plan.cases.values()} == {"phantom-fundus", "phantom-fundus-vqa"}
    assert len({case.model.name for case in plan.cases.values()}) == 4


def test_both_of_a_pair_have_the_same_budget():
    plan = planned()
    assert all(
        pair.general[0].regime.budget == pair.medical[0].regime.budget for pair in plan.pairs.values() if pair.question == 3
    )
    assert all(case.regime.budget for case in plan.cases.values() if case.regime.adapts)


def test_a_budget_that_a_regime_does_not_have_is_named():
    with pytest.raises(UnknownName, match="regime 'lora' has no budget 'lavish'; it has standard, pocket"):
        catalog.load().regimes["lora"].given("lavish", "generator")


def test_what_has_no_budget_of_the_name_that_all_are_given_is_not_planned_and_one_line_says_which_it_has():
    plan = planned(models=("pocket-clip",), regimes=("zero-shot*", "linear-probe", "tip-adapter-4"), budget="paper-a")
    assert {case.regime.name for case in plan.cases.values()} == {"zero-shot", "linear-probe"}
    assert plan.refused == (
        "regime 'zero-shot-ensemble' has no budget 'paper-a'; it has standard, pocket",
        "regime 'tip-adapter-4' has no budget 'paper-a'; it has standard, pocket",
    )
    with pytest.raises(UnknownName, match=r"no case.*'tip-adapter-4' has no budget 'paper-a'"):
        planned(regimes=("tip-adapter-4",), budget="paper-a")


def test_a_budget_that_no_regime_has_is_an_error():
    with pytest.raises(UnknownName, match="no regime has a budget 'papr-a'; there are paper-a, pocket, standard"):
        planned(budget="papr-a")


def test_a_regime_has_every_seed_under_the_budget_in_which_chance_plays_a_part():
    asked = {"models": ("pocket-clip",), "tasks": ("phantom-chest",), "regimes": ("linear-probe",), "seeds": (0, 1)}
    assert [case.seed for case in planned(**asked).cases.values()] == [0]
    trained = planned(**asked, budget="paper-a").cases.values()
    assert [case.seed for case in trained] == [0, 1]
    assert not any("seeded" in case.regime.budget for case in trained)


def test_a_model_of_the_users_gets_the_standard_budget_in_any_suite(tmp_path):
    (tmp_path / "my.toml").write_text(
        '[models.mine]\nkind = "medical"\ntype = "dual-encoder"\nfamily = "x"\nadapter = "x:y"\nweights = "z"\n'
    )
    plan = Plan.of(catalog.load([tmp_path / "my.toml"]), Selection("pocket", models=("mine", "pocket-clip")))
    ranks = {case.model.name: case.regime.budget["rank"] for case in plan.cases.values() if case.regime.name == "lora"}
    assert ranks == {"mine": 16, "pocket-clip": 8}


def test_a_regime_without_chance_has_one_seed():
    plan = planned(models=("pocket-clip",), tasks=("phantom-chest",), seeds=(0, 1, 2))
    assert [case.regime.name for case in plan.cases.values()] == ["zero-shot", "linear-probe", "lora", "lora", "lora"]


def test_cases_are_ordered_by_model_and_pairs_come_last():
    plan = planned()
    models = [case.model.name for case in plan.cases.values()]
    assert [m for i, m in enumerate(models) if i == 0 or models[i - 1] != m] == list(dict.fromkeys(models))
    assert max(map(plan.rank, plan.cases)) < min(map(plan.rank, plan.pairs))
    assert plan.rank("something else") == -1


def test_a_model_is_one_workers_unless_there_are_more_workers_than_models():
    plan = planned()

    def groups(workers: int, collected: list[str]) -> int:
        found = plan.groups(workers, collected)
        return len({found[identity] for identity in collected})

    everything = [*plan.cases]
    assert groups(2, everything) == 4
    assert groups(8, everything) == len(everything)
    of_one = [identity for identity, case in plan.cases.items() if case.model.name == "pocket-clip"]
    assert groups(2, of_one) == len(of_one), "a shard may have fewer models than the plan"


def test_an_unknown_suite_offers_the_known_one():
    with pytest.raises(UnknownName, match="Did you mean 'pocket'"):
        Plan.of(catalog.load(), Selection("pockets"))


def test_a_glob_that_means_several_suites_is_refused():
    with pytest.raises(UnknownName, match=r"'\*' means pocket, .*; name one of them"):
        Plan.of(catalog.load(), Selection("*"))


def test_an_id_is_what_stands_in_the_brackets():
    assert identity("benchmarks/test_vqa.py::test_vqa[a-b-lora]") == "a-b-lora"
    assert identity("tests/test_x.py::test_y") == ""


def test_regimes_that_fit_one_class_are_not_planned_where_images_have_several_findings():
    plan = planned(
        models=("pocket-clip",), tasks=("chest-xray14",), regimes=("zero-shot", "linear-probe", "lora", "few-shot-mean-4")
    )
    assert [case.regime.name for case in plan.cases.values()] == ["zero-shot", "linear-probe"]
    assert plan.refused == ("chest-xray14 is not for few-shot-mean-4, lora: an image of it may have several findings or none",)
