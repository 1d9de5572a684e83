"""`regimes` and `suites`: what a row says, whole."""

import pytest

from medrival.__main__ import main


def printed(capsys, *arguments: str) -> str:
    assert main([*arguments]) == 0
    return capsys.readouterr().out


def words(text: str) -> str:
    return " ".join(text.split())


def test_each_regime_is_listed_with_what_it_adapts_its_budgets_and_where_it_is_from(capsys):
    said = printed(capsys, "regimes")
    assert max(map(len, said.splitlines())) <= 100
    (row,) = (line for line in said.splitlines() if line.startswith("lora "))
    assert words(row) == "lora dual-encoder generator yes standard, pocket, paper-a"
    below = words(said.split(f"{row}\n")[1])
    assert below.startswith("dual-encoder: Adapters in the image tower and a linear head, trained together. generator: ")
    assert said.count("source: Snell et al. 2017") == 1, "regimes that differ in shots alone are explained once"


def test_a_regime_is_shown_with_the_numbers_that_each_type_of_model_is_given(capsys, rows):
    said = words(printed(capsys, "regimes", "lora"))
    assert "budget standard dual-encoder: rank = 16, alpha = 32, learning_rates = [5e-05, 0.0002, 0.001]" in said
    assert "budget standard generator: rank = 16, alpha = 32, learning_rates = [5e-05, 0.0002]," in said
    for name in rows.regimes["lora"].budgets:
        for model_type in ("dual-encoder", "generator"):
            for key in rows.regimes["lora"].given(name, model_type).budget:
                assert f"{key} = " in said.split(f"budget {name} {model_type}: ")[1].split(" budget ")[0]


def test_a_budget_that_changes_whether_seeds_matter_says_so(capsys):
    assert "seeded = true" in words(printed(capsys, "regimes", "linear-probe")).split("budget paper-a ")[1]


def test_a_users_regime_is_listed_though_its_code_cannot_be_read(capsys, tmp_path):
    (tmp_path / "my.toml").write_text('[regimes.mine]\ndiagnosis = { dual-encoder = "nowhere.at_all:mine" }\n')
    assert "\nmine " in printed(capsys, "regimes", "--catalog", str(tmp_path / "my.toml"))
    assert "[nowhere.at_all:mine]" in printed(capsys, "regimes", "mine", "--catalog", str(tmp_path / "my.toml"))


def test_a_suite_is_shown_with_the_names_that_its_globs_mean(capsys, rows):
    assert "models: pocket-*" in printed(capsys, "suites")
    said = words(printed(capsys, "suites", "pocket"))
    assert "models 4: pocket-clip, pocket-medclip, pocket-llava, pocket-medllava" in said
    assert all(task in said for task in rows.tasks if task.startswith("phantom-"))


@pytest.mark.parametrize(("axis", "name", "nearest"), [("regimes", "loar", "lora"), ("suites", "pockets", "pocket")])
def test_an_unknown_name_is_answered_with_the_nearest(capsys, axis, name, nearest):
    assert main([axis, name]) == 2
    assert f"'{nearest}'" in capsys.readouterr().err
