"""What runs the generators of a run under --backend: all of them alike, and the rest named."""

from dataclasses import replace

import pytest

from medrival import backends, catalog
from medrival.catalog import Catalog
from medrival.errors import BrokenCatalog, MedrivalError, UnknownName
from medrival.gates import Gates
from medrival.plan import Plan, Selection

ASKED = {"models": ("pocket-*",), "tasks": ("phantom-chest*",)}


def planned(rows: Catalog, **selection) -> Plan:
    return Plan.of(rows, Selection("pocket", **selection))


def test_generators_become_engines_and_everything_else_stays_as_it_is(rows):
    plain, run = (planned(rows, regimes=("zero-shot",), backend=name, **ASKED) for name in ("", "vllm"))
    assert list(run.cases) == list(plain.cases)
    assert list(run.pairs) == list(plain.pairs)
    adapters = {case.model.name: (case.model.type, case.model.adapter) for case in run.cases.values()}
    assert adapters == {
        **dict.fromkeys(("pocket-clip", "pocket-medclip"), ("dual-encoder", "medrival.models.dual_encoder:transformers")),
        **dict.fromkeys(("pocket-llava", "pocket-medllava"), ("engine", "medrival.models.vllm:own_code")),
    }


def test_both_of_a_pair_are_run_by_the_backend(rows):
    run = planned(rows, regimes=("zero-shot",), backend="vllm-transformers", models=("pocket-*llava",))
    assert {case.model.adapter for case in run.cases.values()} == {"medrival.models.vllm:transformers_code"}
    assert run.pairs


def test_llava_sees_padded_squares_under_a_backend_too(rows):
    run = planned(rows, regimes=("zero-shot",), backend="vllm", models=("llava-1.5-7b",), tasks=("vqa-rad",))
    assert {case.model.adapter for case in run.cases.values()} == {"medrival.models.vllm:padded_own_code"}


def test_regimes_that_train_a_generator_are_named_and_go_on_for_dual_encoders(rows):
    run = planned(rows, regimes=("zero-shot", "lora", "in-context-1", "chain-of-thought"), backend="vllm", **ASKED)
    assert run.refused == ("lora: vllm has generators answer, and trains none",)
    trained = {case.model.type for case in run.cases.values() if case.regime.name == "lora"}
    assert trained == {"dual-encoder"}
    answered = {case.regime.name for case in run.cases.values() if case.model.type == "engine"}
    assert answered == {"zero-shot", "in-context-1", "chain-of-thought"}


def test_without_a_generator_nothing_is_refused(rows):
    assert planned(rows, models=("pocket-clip",), regimes=("lora",), backend="vllm").refused == ()


def test_a_model_of_an_adapter_without_the_backend_is_named_and_left_out(rows):
    run = planned(rows, models=("pocket-llava", "llava-med-7b"), tasks=("vqa-rad",), regimes=("zero-shot",), backend="vllm")
    assert run.refused == ("llava-med-7b: vllm does not run what llava_med:llava_med loads",)
    assert {case.model.name for case in run.cases.values()} == {"pocket-llava"}


def test_an_adapter_directory_is_not_taken_for_a_model_of_its_own(rows):
    assert rows.reads("medrival.models.peft_adapter:adapter").backends == {}


def test_a_candidate_that_the_backend_does_not_run_ends_the_run(rows):
    with pytest.raises(MedrivalError, match=r"--backend vllm: llava-med-7b: vllm does not run .*; run it without --backend"):
        planned(rows, models=("pocket-llava",), joining=("llava-med-7b",), tasks=("vqa-rad",), backend="vllm")


def test_what_a_gate_compares_with_is_run_by_the_backend_too(rows, tmp_path):
    (tmp_path / "gates.toml").write_text(
        '[[gate]]\nname = "keeps up"\ncases = "pocket-llava-*"\nmetric = "accuracy"\n'
        'not-worse-than = { model = "pocket-medllava", margin = 0.02 }\n'
    )
    plan = planned(rows, models=("pocket-llava",), tasks=("phantom-chest-vqa",), regimes=("zero-shot",), backend="vllm")
    gates = Gates.of([tmp_path / "gates.toml"], plan, rows, None, None)
    assert {case.model.type for case in gates.rivals.values()} == {"engine"}


def test_an_unknown_backend_is_named_with_the_nearest(rows):
    with pytest.raises(UnknownName, match=r"unknown backend 'vlm'. Did you mean 'vllm'\? There are vllm, vllm-transformers"):
        planned(rows, backend="vlm")


def test_the_package_that_a_backend_is_named_after_must_be_there():
    backends.check("")
    backends.check("pytest-anything")
    with pytest.raises(MedrivalError, match=r"--backend nowhere-fast needs the package nowhere: python -m pip install nowhere"):
        backends.check("nowhere-fast")


def test_anybodys_adapter_may_have_a_backend(tmp_path):
    (tmp_path / "my.toml").write_text(
        '[adapters."mine:load"]\nbackends = { sglang = "mine:in_sglang" }\n'
        '[models.mine]\ntype = "generator"\nkind = "general"\nfamily = "mine"\nadapter = "mine:load"\nweights = "./w"\n'
    )
    rows = catalog.load([tmp_path / "my.toml"])
    (case,) = planned(
        rows, models=("mine",), tasks=("phantom-chest-vqa",), regimes=("zero-shot",), backend="sglang"
    ).cases.values()
    assert (case.model.type, case.model.adapter) == ("engine", "mine:in_sglang")


def test_a_backend_is_a_function_by_name(tmp_path):
    (tmp_path / "my.toml").write_text(
        '[adapters."mine:load"]\nbackends = { sglang = 3 }\n'
        '[models.mine]\ntype = "generator"\nkind = "general"\nfamily = "mine"\nadapter = "mine:load"\nweights = "./w"\n'
    )
    with pytest.raises(BrokenCatalog, match=r"backends has sglang = 3; it must be \"module:function\""):
        catalog.load([tmp_path / "my.toml"])


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("--backend", "vllm", "--dtype", "4bit"), "--backend vllm: it loads no weights in 4 bits"),
        (("--backend", "vllm", "--workers-per-gpu", "2"), "--backend vllm: it fills a GPU by itself"),
        (("--backend", "vllm", "--efficiency"), "--backend vllm: --efficiency measures what medrival does itself"),
    ],
)
def test_what_a_backend_does_not_do_is_a_usage_error(study, options, why):
    run = study(*options, "--collect-only")
    assert run.status == 4
    assert why in run.output


def test_an_engine_and_a_generator_have_outcomes_of_their_own(rows, new_lab):
    lab = new_lab()
    keys = {
        lab.key(next(iter(planned(rows, models=("pocket-llava",), tasks=("phantom-chest-vqa",), **one).cases.values())))
        for one in ({"backend": ""}, {"backend": "vllm"}, {"backend": "vllm-transformers"})
    }
    assert len(keys) == 3


def test_a_row_may_name_an_engine_itself(rows):
    card = replace(rows.models["pocket-llava"], type="engine", adapter="medrival.models.vllm:own_code")
    run = planned(
        replace(rows, models={**rows.models, "pocket-llava": card}), models=("pocket-llava",), regimes=("zero-shot", "lora")
    )
    assert {case.regime.name for case in run.cases.values()} == {"zero-shot"}
