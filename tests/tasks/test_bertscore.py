"""BERTScore with a local encoder: torchmetrics' values, whatever the batch, from one load and a cache."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchmetrics.functional.text.bert import bert_score
from transformers import BertConfig, BertModel, BertTokenizerFast

from medrival.cache import Cache
from medrival.contracts import Prediction
from medrival.errors import BrokenModel
from medrival.tasks.scorers import bertscore
from medrival.tasks.scorers.bertscore import BertScore, Encoder
from medrival.weights import locate
from tests.stand_ins import save_encoder

WORDS = ["the", "heart", "is", "enlarged", "no", "lung", "opacity", "left", "right", "of", "effusion", "pleural", "in", "lobe"]
PAIRS = [
    ("the heart is enlarged", "heart enlarged"),
    ("no", "lung opacity in the left lobe"),
    ("right pleural effusion", "pleural effusion"),
    ("there is a left pleural effusion in the lobe of the right lung", "effusion"),
    ("unknownword opacity", "opacity"),
    ("Left Lobe.", "left lobe"),
]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return save_encoder(tmp_path_factory.mktemp("encoder"), WORDS)


def answered(answer, truth="effusion", form="open", **more):
    return Prediction(id=answer + truth, group="g", truth=truth, answer=answer, form=form, **more)


def scores(folder, cache, *predictions):
    return BertScore(folder, "cpu", Cache(cache), lambda items, _: items)(predictions)


def values(folder, cache, *predictions):
    return scores(folder, cache, *predictions).values["bertscore"].tolist()


def by_torchmetrics(folder, pairs, layer=-1):
    """One pair at a time: given several, torchmetrics 1.9 scores answers against the references of others."""
    model, tokenizer = BertModel.from_pretrained(folder).eval(), BertTokenizerFast.from_pretrained(folder)
    options = {"model": model, "user_tokenizer": tokenizer, "max_length": 38, "num_layers": layer, "truncation": True}
    return [float(bert_score([answer], [truth], **options)["f1"]) for answer, truth in pairs]


def test_values_are_torchmetrics(encoder, tmp_path):
    measured = values(encoder, tmp_path, *(answered(answer, truth) for answer, truth in PAIRS))
    np.testing.assert_allclose(measured, by_torchmetrics(encoder, PAIRS), atol=1e-5)
    assert len({round(value, 3) for value in measured}) == len(PAIRS)


def test_an_earlier_layer_is_taken_by_a_config_with_fewer_layers(encoder, tmp_path):
    folder = shutil.copytree(encoder, tmp_path / "shorter")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 2}))
    measured = values(folder, tmp_path, *(answered(answer, truth) for answer, truth in PAIRS))
    np.testing.assert_allclose(measured, by_torchmetrics(encoder, PAIRS, layer=2), atol=1e-5)


def test_of_several_right_answers_the_one_that_is_most_alike_counts(encoder, tmp_path):
    several = ("effusion", "left pleural effusion")
    both = answered("left pleural effusion", several[0], options=several)
    assert values(encoder, tmp_path, both) == pytest.approx([1.0])
    assert values(encoder, tmp_path, answered("left pleural effusion", several[0]))[0] < 1.0


def test_neither_batch_nor_order_changes_a_value(encoder, tmp_path, monkeypatch):
    predictions = [answered(answer, truth) for answer, truth in PAIRS]
    together = values(encoder, tmp_path / "a", *predictions)
    monkeypatch.setattr(bertscore, "BATCH", 1)
    alone = values(encoder, tmp_path / "b", *reversed(predictions))
    np.testing.assert_allclose(alone[::-1], together, atol=1e-6)


@pytest.fixture(scope="module")
def loaded(encoder):
    return Encoder(encoder, "cpu")


@settings(max_examples=30, deadline=None)
@given(
    answer=st.lists(st.sampled_from(WORDS), max_size=60).map(" ".join),
    truth=st.lists(st.sampled_from(WORDS), min_size=1, max_size=5).map(" ".join),
)
def test_a_value_lies_in_0_to_1_and_is_1_for_the_reference_itself(loaded, answer, truth):
    value, itself = loaded.f1([answer, truth], [truth, truth])
    assert 0 <= value <= 1
    assert itself == pytest.approx(1, abs=1e-6)


def test_an_answer_without_a_token_and_a_failed_sample_are_0_and_other_forms_have_no_value(encoder, tmp_path):
    measured = values(
        encoder,
        tmp_path,
        answered(""),
        answered("   "),
        answered("effusion", error="unreadable image"),
        answered("yes", "yes", form="closed", options=("yes", "no")),
        answered("effusion"),
    )
    np.testing.assert_allclose(measured, [0, 0, 0, np.nan, 1], atol=1e-6)


def test_an_answer_longer_than_the_encoder_reads_is_cut(encoder, tmp_path):
    long = "effusion " * 10_000
    assert values(encoder, tmp_path, answered(long)) == values(encoder, tmp_path, answered("effusion " * 36))


def test_the_encoder_is_loaded_once_and_what_is_known_is_not_computed_again(encoder, tmp_path, monkeypatch):
    loads = []
    real = bertscore._loaded
    monkeypatch.setattr(bertscore, "_loaded", lambda *arguments: loads.append(arguments) or real(*arguments))
    scorer = BertScore(encoder, "cpu", Cache(tmp_path), lambda items, _: items)
    first = scorer([answered("heart")]).values["bertscore"]
    scorer([answered("lung")])
    assert len(loads) == 1
    again = values(encoder, tmp_path, answered("heart"))
    assert (again, len(loads)) == (first.tolist(), 1)


def test_other_weights_are_another_encoder_and_the_notes_say_which(encoder, tmp_path):
    other = shutil.copytree(encoder, tmp_path / "other")
    torch.manual_seed(1)
    BertModel(BertConfig.from_pretrained(encoder)).save_pretrained(other)
    one, two = (scores(folder, tmp_path / "cache", answered(*PAIRS[0])) for folder in (encoder, other))
    assert one.values["bertscore"] != two.values["bertscore"]
    assert one.notes["bertscore"]["encoder"] != two.notes["bertscore"]["encoder"]
    assert one.notes["bertscore"]["layer"] == "last"


def test_without_an_open_question_nothing_is_loaded(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    assert np.isnan(values(tmp_path, tmp_path, answered("yes", "yes", form="closed", options=("yes", "no")))).all()


def without_weights(folder):
    (folder / "model.safetensors").unlink()


def cut_short(folder):
    (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:5000])


def deeper_than_its_weights(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 4}))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (without_weights, "no weights in safetensors"),
        (cut_short, "does not load"),
        (deeper_than_its_weights, "lacks 16 weights of BertModel"),
    ],
)
def test_a_broken_encoder_is_one_error(encoder, tmp_path, damage, message):
    folder = shutil.copytree(encoder, tmp_path / "broken")
    damage(folder)
    with pytest.raises(BrokenModel, match=message):
        values(folder, tmp_path, answered("heart"))


def test_a_model_that_is_no_text_encoder_is_one_error(rows, tmp_path):
    with pytest.raises(BrokenModel, match="CLIPModel is no text encoder"):
        values(locate(rows.models["pocket-clip"], None), tmp_path, answered("heart"))
