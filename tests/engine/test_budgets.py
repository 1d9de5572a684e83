"""Budgets: what a regime reads of one is known before anything runs, and a user's row adds to a regime or takes its place."""

import ast
from pathlib import Path
from typing import get_type_hints

import pytest

from medrival import catalog, regimes
from medrival.errors import BrokenCatalog, UnknownName
from medrival.regimes.budgets import READ

LORA = {
    "rank": "4",
    "alpha": "8",
    "learning_rate": "1e-3",
    "weight_decay": "0.0",
    "warmup": "0.1",
    "epochs": "2",
    "batch_size": "8",
    "max_grad_norm": "1.0",
}


def table(name: str, **numbers: str) -> str:
    return "\n".join([f"[regimes.{name}]", *(f"{key} = {value}" for key, value in numbers.items()), ""])


def load(folder: Path, *texts: str) -> catalog.Catalog:
    paths = [folder / f"{place}.toml" for place, _ in enumerate(texts)]
    for path, text in zip(paths, texts, strict=True):
        path.write_text(text)
    return catalog.load(paths)


def test_every_function_of_a_built_in_regime_has_its_keys_on_record():
    rows = catalog.load().regimes.values()
    assert {place for row in rows for place in (*row.diagnosis.values(), *row.vqa.values())} == set(READ)


def test_the_keys_on_record_are_those_that_the_regimes_read():
    """Of `budget["key"]` and `budget.get("key")` in their code; `shots` are the row's."""
    read = set()
    for path in Path(regimes.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            whole, key = None, None
            if isinstance(node, ast.Subscript):
                whole, key = node.value, node.slice
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "get":
                whole, key = node.func.value, node.args[0]
            if isinstance(key, ast.Constant) and "budget" in (getattr(whole, "id", ""), getattr(whole, "attr", "")):
                read.add(key.value)
    assert {key for sets in READ.values() for keys in sets for key in get_type_hints(keys)} == read - {"shots"}


def test_a_row_of_budgets_alone_adds_them_to_the_regime_and_the_rest_stays(tmp_path):
    numbers = table("lora.budgets.mine", **LORA) + table("lora.budgets.mine.dual-encoder", l2_strengths="[1, 10]")
    own, rows = catalog.load(), load(tmp_path, numbers)
    assert rows.regimes["lora"].given("mine", "generator").budget == {key: float(value) for key, value in LORA.items()}
    assert rows.regimes["lora"].given("mine", "dual-encoder").budget["l2_strengths"] == [1, 10]
    assert rows.regimes["lora"].given("standard", "generator").budget == (
        own.regimes["lora"].given("standard", "generator").budget
    )
    assert rows.regimes["lora"].vqa == own.regimes["lora"].vqa
    assert list(rows.regimes) == list(own.regimes)
    assert rows.replacing == ()


def test_files_add_to_one_another_and_each_number_of_shots_has_what_is_added(tmp_path):
    rows = load(
        tmp_path,
        table("few-shot-probe.budgets.mine", l2_strengths="[1.0]"),
        table("few-shot-probe.budgets.yours", l2_strengths="[2.0]"),
    )
    assert [rows.regimes["few-shot-probe-8"].given(name, "dual-encoder").budget for name in ("mine", "yours")] == [
        {"l2_strengths": [1.0], "shots": 8},
        {"l2_strengths": [2.0], "shots": 8},
    ]


def test_a_budget_in_the_place_of_a_built_in_one_is_told_and_holds_where_its_name_stands_for_it(tmp_path):
    rows = load(tmp_path, table("linear-probe.budgets.standard", l2_strengths="[5.0]"))
    assert rows.regimes["few-shot-probe-1"].budgets["standard"] == {"l2_strengths": [5.0]}
    assert rows.replacing == (
        f"{tmp_path / '0.toml'}: [regimes.linear-probe.budgets.standard] takes the place of the built-in one",
    )


def test_a_row_with_functions_takes_the_place_of_the_whole_regime_and_is_told(tmp_path):
    row = table("lora", vqa='{ generator = "x:y" }') + table("lora.budgets.mine", anything="3")
    rest = "".join(table(name, vqa='{ generator = "x:y" }') for name in ("lora-language", "lora-vision", "qlora"))
    rows = load(tmp_path, row + rest)
    assert list(rows.regimes["lora"].budgets) == ["mine"]
    assert f"{tmp_path / '0.toml'}: [regimes.lora] takes the place of the built-in row" in rows.replacing


def changed(**numbers: str | None) -> str:
    return table("lora-image.budgets.mine", **{key: value for key, value in {**LORA, **numbers}.items() if value})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (changed(rank=None, ranks="4"), "has an unknown key 'ranks'; it may have accumulate, alpha, .* Did you mean 'rank'?"),
        (changed(grouped="true"), "has an unknown key 'grouped'"),  # dual encoders have no lengths
        (changed(shots="4"), "has an unknown key 'shots'"),
        (changed(epochs=None), "lacks 'epochs' for a dual-encoder; it must have alpha, batch_size, epochs, "),
        (changed(learning_rate=None), "has neither for a dual-encoder; it must have one of learning_rate and learning_rates"),
        (changed(learning_rates="[1e-3]"), "has 'learning_rate' and 'learning_rates' for a dual-encoder; it must have one"),
        (changed(rank='"4"'), "rank is '4'; it must be a whole number"),
        (changed(batch_size="0"), "batch_size is 0; it must be finite and at least 1"),
        (changed(accumulate="0"), "accumulate is 0; it must be finite and at least 1"),
        (changed(patience="-1"), "patience is -1; it must be finite and at least 0"),
        (changed(weight_decay="nan"), "weight_decay is nan; it must be finite and at least 0"),
        (changed(learning_rate=None, learning_rates="[1e-3, inf]"), r"learning_rates is \[0.001, inf\]; it must be finite"),
        (changed(warmup="3.0"), "warmup is 3.0; it is a share and must be at most 1"),
        (changed(max_grad_norm="0"), "max_grad_norm is 0; it must be above 0"),
        (changed(keep='"first"'), "keep is 'first'; it must be one of best, last"),
        (changed(seeded="1"), "seeded is 1; it must be true or false"),
        (
            changed(learning_rate=None, learning_rates="[]"),
            r"learning_rates is \[\]; it must be a list of numbers, at least one",
        ),
        (
            changed() + table("lora-image.budgets.mine.generator", rank="1"),
            "has a table 'generator'; it may have one for dual-en",
        ),
        (changed() + table("lora-image.budgets.mine.dual-encoder", rnk="1"), "has an unknown key 'rnk'.* Did you mean 'rank'?"),
        ('[regimes.lora-image.budgets]\nmine = "linear-probe"\n', "'mine' is 'linear-probe'; it must be a table, or the name"),
        ('[regimes.lora-image.budgets]\npaper-a = "linear-probe"\n', "'paper-a' has an unknown key 'batch'|lacks 'alpha'"),
    ],
)
def test_what_a_regime_does_not_read_or_lacks_is_one_message_with_file_regime_budget_and_key(tmp_path, text, message):
    with pytest.raises(BrokenCatalog, match=message) as caught:
        load(tmp_path, text)
    assert str(caught.value).startswith(f"{tmp_path / '0.toml'}: regime 'lora-image': budget '")


def test_of_two_files_the_one_that_has_the_budget_is_named(tmp_path):
    with pytest.raises(BrokenCatalog, match=r"0\.toml: regime 'lora-image': budget 'mine' lacks 'epochs'"):
        load(tmp_path, changed(epochs=None), changed().replace("mine", "yours"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (table("zero-shot.budgets.mine", epochs="2"), "'zero-shot': budget 'mine' has an unknown key 'epochs'; .* reads none"),
        (table("lora-imge.budgets.mine", **LORA), r"no such regime to add its budgets to. Did you mean 'lora-image'"),
        (table("lora", seeded="false"), r"\[regimes.lora\] names no function .*; it must, or have nothing but budgets"),
        (table("mine", vqa='{ generator = "medrival.regimes.taught:lora" }'), "'mine' without a budget lacks 'alpha'"),
        (
            table("linear-probe.budgets.mine", l2_strengths="[1.0]", epochs="2"),
            "has an unknown key 'epochs'; it may have l2_str",
        ),
    ],
)
def test_a_row_that_makes_no_regime_or_a_budget_that_it_cannot_be_given_is_refused(tmp_path, text, message):
    with pytest.raises(BrokenCatalog, match=message):
        load(tmp_path, text)


def test_a_key_that_one_type_of_model_reads_may_stand_for_all_and_types_may_have_no_numbers(tmp_path):
    both = {**LORA, "grouped": "true", "l2_strengths": "[1.0]"}
    alone = table("full.budgets.mine.generator", **{key: LORA[key] for key in LORA if key not in ("rank", "alpha")})
    rows = load(tmp_path, table("lora.budgets.mine", **both) + alone)
    assert rows.regimes["lora"].given("mine", "generator").budget["grouped"]
    assert rows.regimes["full"].given("mine", "generator").budget["epochs"] == 2
    with pytest.raises(UnknownName, match="'full' has its budget 'mine' for generator alone, and none for a dual-encoder"):
        rows.regimes["full"].given("mine", "dual-encoder")


def test_what_a_function_of_another_package_reads_is_its_own_affair(tmp_path):
    row = table("mine", vqa='{ generator = "theirs:adapt" }') + table("mine.budgets.standard", whatever='"it likes"')
    assert load(tmp_path, row).regimes["mine"].given("standard", "generator").budget == {"whatever": "it likes"}
