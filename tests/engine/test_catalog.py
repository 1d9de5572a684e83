"""Catalogs: rows from TOML, selection by name and glob, and errors that name file, row and key."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from medrival import catalog
from medrival.catalog import AdapterCard
from medrival.errors import BrokenCatalog, UnknownName

MODEL = """
[models.mine]
kind = "medical"
type = "dual-encoder"
family = "mine"
adapter = "medrival.models.dual_encoder:transformers"
weights = "checkpoints/mine"
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "my.toml"
    path.write_text(text)
    return path


def test_every_built_in_row_is_read_and_names_code_that_exists():
    rows = catalog.load()
    places = [task.loader for task in rows.tasks.values()]  # of models: tests/models/test_catalog.py
    places += [place for regime in rows.regimes.values() for place in (*regime.diagnosis.values(), *regime.vqa.values())]
    assert {"pocket-clip", "pocket-medllava"} <= set(rows.models)
    assert all(callable(catalog.imported(place)) for place in places)


def test_reading_catalogs_imports_no_torch():
    code = "import sys; from medrival import catalog; catalog.load(); raise SystemExit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_users_file_adds_rows_and_relative_weights_start_at_the_file(tmp_path):
    rows = catalog.load([written(tmp_path, MODEL)])
    assert rows.models["mine"].folder == str(tmp_path)
    assert rows.models["mine"].saw is None


def test_what_a_row_does_not_say_is_unknown_and_its_card_can_be_remembered(tmp_path):
    card = catalog.load([written(tmp_path, MODEL + 'parameters = 7\nsources = { licence = "hub" }')]).models["mine"]
    assert (card.parameters, card.sources) == (7, {"licence": "hub"})
    assert (card.gated, card.image_size, card.licence) == (False, "", "")
    assert {card: "found"}[card] == "found"


ADAPTER = """
[adapters."medrival.models.dual_encoder:transformers"]
weights = [["*.npz"]]
"""
PIECE = 'pieces = [{ place = "a/b", files = ["x"] }]'
FAMILY = """
[families.mine]
type = "generator"
adapter = "x:y"
gated = true
image_size = "native"
sources = { image_size = "hub", gated = "hub" }
"""
ROW = '[models.one]\nkind = "medical"\nfamily = "mine"\nweights = "w"\n'


def test_a_row_takes_from_its_family_what_it_does_not_say_and_the_sources_it_does_not_name(tmp_path):
    text = FAMILY + ROW + ROW.replace("one", "two") + 'image_size = "448"\ngated = false\nsources = { image_size = "page" }\n'
    rows = catalog.load([written(tmp_path, text)]).models
    one, two = rows["one"], rows["two"]
    assert (one.type, one.adapter, one.gated, one.image_size) == ("generator", "x:y", True, "native")
    assert one.sources == {"image_size": "hub", "gated": "hub"}
    assert (two.adapter, two.gated, two.image_size) == ("x:y", False, "448")
    assert two.sources == {"image_size": "page", "gated": "hub"}


def test_tasks_share_by_families_too_what_only_their_loader_understands_among_it(tmp_path):
    family = '[families.lumps]\nkind = "diagnosis"\nmodality = "ultrasound"\ndata = "x:y"\nprompt = "a {}"\nsize = 28\n'
    row = '[tasks.one]\nfamily = "lumps"\nsize = 64\nfile = "one"\n'
    card = catalog.load([written(tmp_path, family + row)]).tasks["one"]
    assert (card.kind, card.data) == ("diagnosis", "x:y")
    assert card.options == {"prompt": "a {}", "size": 64, "file": "one"}


def test_a_family_takes_from_its_own_family_what_it_does_not_say(tmp_path):
    above = '[families.lumps]\nkind = "diagnosis"\nmodality = "ultrasound"\ndata = "x:y"\nprompt = "a {}"\nsize = 28\n'
    family = '[families.breast]\nfamily = "lumps"\nmodality = "mammography"\nfile = "breast"\n'
    rows = '[tasks.one]\nfamily = "breast"\n[tasks.two]\nfamily = "breast"\nsize = 64\n'
    cards = catalog.load([written(tmp_path, above + family + rows)]).tasks
    assert {(card.family, card.kind, card.modality) for card in (cards["one"], cards["two"])} == {
        ("breast", "diagnosis", "mammography")
    }
    assert [cards[name].options["size"] for name in ("one", "two")] == [28, 64]
    assert cards["two"].options == {"prompt": "a {}", "size": 64, "file": "breast"}


def test_a_family_is_of_its_own_file_alone(tmp_path):
    row = 'kind = "general"\nfamily = "siglip"\ntype = "generator"\nadapter = "x:y"\nweights = "w"\n'
    card = catalog.load([written(tmp_path, f"[models.mine]\n{row}")]).models["mine"]
    assert (card.padding, card.resolution, card.prompt, card.source) == ("", "", "", "")


def test_what_an_adapter_reads_holds_for_rows_of_other_files_and_the_first_that_fits_counts(tmp_path):
    path = written(tmp_path, MODEL + ADAPTER + MODEL.replace("mine]", "theirs]").replace("medrival.models", "theirs"))
    rows = catalog.load([path])
    assert rows.models["mine"].reads == rows.models["pocket-clip"].reads, "of our own adapters the project says it"
    assert rows.models["theirs"].reads == AdapterCard()
    path.write_text(path.read_text().replace("medrival.models", "theirs"))
    assert catalog.load([path]).models["theirs"].reads.weights == (("*.npz",),)


@pytest.mark.parametrize("of", ["medrival.models.dual_encoder:*", "medrival.models.*"])
def test_no_other_file_changes_what_an_adapter_of_the_project_reads_even_under_the_projects_own_words(tmp_path, of):
    own = catalog.load()
    rows = catalog.load([written(tmp_path, MODEL + ADAPTER.replace("medrival.models.dual_encoder:transformers", of))])
    assert {name: rows.models[name].reads for name in own.models} == {name: card.reads for name, card in own.models.items()}


def test_globs_and_names_select_in_catalog_order_without_repetition():
    chosen = catalog.load().select("models", ["pocket-med*", "pocket-clip", "pocket-medclip"])
    assert [model.name for model in chosen] == ["pocket-clip", "pocket-medclip", "pocket-medllava"]


@pytest.mark.parametrize(
    ("axis", "name", "nearest"),
    [
        ("models", "pocketclip", "pocket-clip"),
        ("tasks", "phantom-chst", "phantom-chest"),
        ("regimes", "zeroshot", "zero-shot"),
        ("tasks", "VQA-RAD", "vqa-rad"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest(axis, name, nearest):
    with pytest.raises(
        UnknownName, match=rf"unknown {axis[:-1]} '{name}'.*Did you mean.*'{nearest}'.*python -m medrival {axis}"
    ):
        catalog.load().select(axis, [name])


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (MODEL.replace('family = "mine"', ""), r"\[models.mine\] lacks 'family'"),
        (MODEL + 'colour = "red"', r"\[models.mine\] has an unknown key 'colour'"),
        (MODEL.replace('"medical"', '"medicinal"'), "kind is 'medicinal'; it must be one of general, medical"),
        (MODEL.replace('"dual-encoder"', '"triple"'), "type is 'triple'"),
        (MODEL.replace('"medical"', '"diagnosis"'), "kind is 'diagnosis'; it must be one of general, medical"),
        (MODEL + 'saw = "no radiology"', "saw is 'no radiology'; it must be a list of texts"),
        (MODEL + 'name = "theirs"', r"\[models.mine\] has an unknown key 'name'"),
        (MODEL + 'folder = "elsewhere"', r"\[models.mine\] has an unknown key 'folder'"),
        (MODEL + 'file = "elsewhere"', r"\[models.mine\] has an unknown key 'file'"),
        *((MODEL.replace("mine]", f'"{odd}"]'), "a name is of letters") for odd in ("röntgen", "a,b", "a*", "a~b", "a::b", "")),
        (MODEL + "lora = 7", "lora is 7; it must be a text"),
        (MODEL + 'parameters = "7B"', "parameters is '7B'; it must be a number"),
        (MODEL + "parameters = true", "parameters is True; it must be a number"),
        (MODEL + 'gated = "yes"', "gated is 'yes'; it must be true or false"),
        (MODEL + 'sources = "a paper"', "sources is 'a paper'; it must be a table"),
        ("models = 3\n", "'models' is not a table of rows"),
        ('[suites.x]\nmodels = "pocket-clip"\ntasks = []\nregimes = []\n', "models is 'pocket-clip'; it must be a list"),
        ('[suites.x]\nmodels = []\ntasks = []\nregimes = []\nmargin = "a"\n', "margin is 'a'; it must be a number"),
        ("[model.mine]\n", r"unknown table \[model\]"),
        ('families = "mine"\n', "'families' is not a table of rows"),
        ("[families]\nmine = 3\n" + ROW, r"\[families.mine\] is not a table"),
        (FAMILY, r"no model or task of this file is of \[families.mine\]"),
        (FAMILY + "colour = 1\n" + ROW, r"\[families.mine\] has an unknown key 'colour'"),
        (FAMILY.replace("true", "1") + ROW, r"\[families.mine\]: gated is 1; it must be true or false"),
        (FAMILY.replace('adapter = "x:y"\n', "") + ROW, r"\[models.one\] lacks 'adapter'"),
        ("[models]\nmine = 3\n", r"\[models.mine\] is not a table"),
        ("[models.mine\n", "not a readable TOML catalog"),
        (
            MODEL + ADAPTER.replace("weights", "weight"),
            r"\[adapters.\S+\] has an unknown key 'weight'; it may have",
        ),
        (
            MODEL + ADAPTER.replace("dual", "duel"),
            r"no model of this file is loaded by \[adapters.\S+duel_",
        ),
        (MODEL + ADAPTER.replace('[["*.npz"]]', '["*.npz"]'), r"weights is \['\*.npz'\]; it must be a list of lists of texts"),
        (MODEL + 'pieces = ["a/b"]', r"\[models.mine\]: pieces is not a table"),
        (MODEL + 'pieces = [{ place = "a/b" }]', r"\[models.mine\]: pieces lacks 'files'"),
        (MODEL + 'pieces = [{ place = "a/b", files = ["x"], sha = "1" }]', r"pieces has an unknown key 'sha'"),
        (MODEL + "pieces = []", r"\[models.mine\]: pieces is \[\]; it must be a list of tables, at least one"),
        (
            MODEL + 'pieces = [{ place = "a/b", files = [] }]',
            r"\[models.mine\]: pieces: files is \[\]; it must name what is read",
        ),
        *(
            (
                MODEL + f'pieces = [{{ place = "a/b", files = ["{out}"] }}]',
                rf"pieces: files has '{out}', which leads out of the",
            )
            for out in ("../x", "/x", "a/../../x")
        ),
        (
            MODEL + 'pieces = [{ place = "http://a.org/x", files = ["x"] }]',
            r"pieces: place is 'http://a.org/x'; only https addresses are fetched",
        ),
        *(
            (MODEL.replace("checkpoints/mine", out) + PIECE, rf"weights is '{out}'; of pieces it must be the plain name")
            for out in ("../../escape", "/escape", "~/escape", "a/..", "./a", "a/b/c", "hf-hub:a/b")
        ),
        *(
            (MODEL.replace("checkpoints/mine", empty), rf"\[models.mine\]: weights is '{empty}'; it must name the model")
            for empty in ("", "hf-hub:", "open_clip:", "package:")
        ),
        (
            MODEL + ADAPTER.replace('"*.npz"', ""),
            r"\[adapters.\S+\]: weights is \[\[\]\]; it must be a list of lists of texts, none",
        ),
        (MODEL + 'url = "https://a.org"', r"\[models.mine\]: url is 'https://a.org'; only a served model has one"),
        (MODEL + "price_in = 2", r"\[models.mine\]: price_in is 2; only a served model has one"),
        (MODEL + "thinking = 9", r"\[models.mine\]: thinking is 9; a dual encoder gives no words"),
    ],
)
def test_a_broken_catalog_is_one_message_with_file_row_and_key(tmp_path, text, complaint):
    path = written(tmp_path, text)
    with pytest.raises(BrokenCatalog, match=complaint) as caught:
        catalog.load([path])
    assert str(path) in str(caught.value)


def test_a_missing_catalog_file_is_named(tmp_path):
    with pytest.raises(BrokenCatalog, match=r"nowhere.toml"):
        catalog.load([tmp_path / "nowhere.toml"])


@pytest.mark.parametrize("place", ["medrival.models.nothing:here", "medrival.errors:nothing", "not a place", "tabel:x.csv", ""])
def test_a_place_that_does_not_exist_is_named(place):
    with pytest.raises(BrokenCatalog, match=r"cannot be imported.*folder:PLACE, table:PLACE, hub:PLACE"):
        catalog.imported(place)


def test_domain_is_a_property_of_model_and_task(tmp_path):
    rows = catalog.load([written(tmp_path, MODEL)])
    chest, fundus = rows.tasks["phantom-chest"], rows.tasks["phantom-fundus"]
    assert catalog.domain(rows.models["pocket-medclip"], chest) == "in"
    assert catalog.domain(rows.models["pocket-medclip"], fundus) == "ood"
    assert catalog.domain(rows.models["pocket-clip"], chest) == "ood"
    assert catalog.domain(rows.models["mine"], chest) == "unknown"


def test_of_a_task_of_several_modalities_a_medical_model_saw_nobody_knows_how_much():
    rows = catalog.load()
    mixed = rows.tasks["medxpertqa-mm"]
    assert catalog.domain(rows.models["lingshu-7b"], mixed) == "unknown"
    assert catalog.domain(rows.models["qwen2.5-vl-7b"], mixed) == "ood"


@pytest.mark.parametrize(
    ("extra", "complaint"),
    [
        ('partner = "pocket-clap"', "the partner of 'mine': unknown model 'pocket-clap'. Did you mean 'pocket-clip'"),
        ('partner = "pocket-medclip"', "must be one general and one medical model"),
        ('partner = "pocket-llava"', "of the same type and budget"),
        ('partner = "pocket-clip"', "budget 'standard' and general dual-encoder with budget 'pocket'"),
    ],
)
def test_a_partner_that_could_not_be_compared_is_refused(tmp_path, extra, complaint):
    with pytest.raises(BrokenCatalog, match=complaint):
        catalog.load([written(tmp_path, MODEL + extra)])


@pytest.mark.parametrize(
    ("saw", "said"),
    [
        ('["Pathology"]', ["mine: saw 'Pathology', a modality of no task and no other model; .* Did you mean 'pathology'.$"]),
        ('["chest radiograh", "endoscopy"]', ["mine: saw 'chest radiograh', .* Did you mean 'chest radiograph'"]),
        ('["qqqqqq"]', ["mine: saw 'qqqqqq', a modality of .* no effect.$"]),
        ('["pathology"]', []),
        ("[]", []),
    ],
)
def test_a_modality_that_nothing_else_has_is_told_with_the_nearest(tmp_path, saw, said):
    twice = f"{MODEL}saw = {saw}\n"
    rows = catalog.load([written(tmp_path, twice + twice.replace("models.mine", "models.ours"))])
    found = rows.unfamiliar(rows.models["mine"])
    assert len(found) == len(said)
    assert all(re.search(pattern, line) for pattern, line in zip(said, found, strict=True)), found


def test_a_users_own_modality_is_one_where_a_task_of_theirs_has_it(tmp_path):
    task = '[tasks.mine]\nkind = "diagnosis"\nmodality = "qqqqqq"\ndata = "folder:mine"\n'
    rows = catalog.load([written(tmp_path, MODEL + 'saw = ["qqqqqq"]\n' + task)])
    assert rows.unfamiliar(rows.models["mine"]) == []


def test_no_built_in_row_saw_what_nothing_else_has_or_takes_anothers_place():
    rows = catalog.load()
    assert [line for model in rows.models.values() for line in rows.unfamiliar(model)] == []
    assert rows.replacing == ()


def test_rows_in_the_place_of_built_in_ones_are_told(tmp_path):
    path = written(tmp_path, MODEL + MODEL.replace("models.mine", "models.medclip").replace("checkpoints/mine", "a/b"))
    rows = catalog.load([path])
    assert rows.replacing == (f"{path}: [models.medclip] takes the place of the built-in row",)
    assert rows.models["medclip"].weights == "a/b"


def test_either_of_a_pair_may_name_the_other(tmp_path):
    rows = catalog.load([written(tmp_path, MODEL + 'partner = "pocket-clip"\nbudget = "pocket"')])
    assert catalog.partners(rows.models["mine"], rows.models["pocket-clip"])
    assert catalog.partners(rows.models["pocket-clip"], rows.models["mine"])
    assert not catalog.partners(rows.models["mine"], rows.models["pocket-llava"])


def test_a_tasks_options_are_a_key_of_its_loader_like_any_other(tmp_path):
    row = '[tasks.mine]\nkind = "vqa"\nmodality = "x"\ndata = "table:q.csv"\noptions = ["A", "B"]\nanswer = "said"\n'
    card = catalog.load([written(tmp_path, row)]).tasks["mine"]
    assert card.options == {"options": ["A", "B"], "answer": "said"}


SHARED = """
[regimes.theirs]
vqa = { generator = "x:y" }
budgets = { mine = { epochs = 3, generator = { batch_size = 4 } } }
[regimes.ours]
vqa = { generator = "x:y" }
budgets = { mine = %s, standard = "lora" }
"""


def test_the_name_of_another_regime_stands_for_the_numbers_of_its_budget(tmp_path):
    regimes = catalog.load([written(tmp_path, SHARED % '"theirs"')]).regimes
    assert regimes["ours"].given("mine", "generator").budget == {"epochs": 3, "batch_size": 4}
    assert regimes["ours"].budgets["standard"] == regimes["lora"].budgets["standard"]


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ('"nobody"', "is 'nobody'; it must be a table, or the name of a regime that has such a table"),
        ('"lora"', "is 'lora'; it must be a table"),
        ("3", "is 3; it must be a table"),
        ("{ generatr = { epochs = 2 } }", "has a table 'generatr'; it may have one for generator"),
    ],
)
def test_a_budget_that_has_no_numbers_or_has_them_for_no_type_of_model_is_named(tmp_path, said, message):
    with pytest.raises(BrokenCatalog, match="regime 'ours': budget 'mine'") as error:
        catalog.load([written(tmp_path, SHARED % said)])
    assert message in str(error.value)
