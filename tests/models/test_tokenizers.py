"""A checkpoint without the files of its tokenizer: transformers would make one up that knows no word, and score with it."""

from dataclasses import replace

import pytest
from transformers import BertTokenizer, CLIPImageProcessor

from medrival.catalog import imported
from medrival.errors import BrokenModel
from medrival.models.checkpoint import load_processor, refuse_unusable
from tests.models import miniature_dual_encoders, miniature_generators

GENERATOR = "medrival.models.generator:transformers"
OWN_WORDS = ("open_clip",)
"""Families whose vocabulary comes with a package."""
FILES = ("tokenizer*", "vocab.*", "*.model", "merges.txt", "special_tokens_map.json", "added_tokens.json")


def save(family, folder):
    """The miniature, and the adapter that loads it."""
    if family in miniature_generators.FAMILIES:
        miniature_generators.save(miniature_generators.FAMILIES[family], folder)
        return GENERATOR
    adapter, write = miniature_dual_encoders.FAMILIES[family]
    write(folder)
    return adapter


def without(folder, *patterns):
    gone = [path for pattern in patterns for path in folder.glob(pattern)]
    for path in gone:
        path.unlink()
    return gone


@pytest.fixture
def card(rows):
    return replace(rows.models["pocket-clip"], name="miniature")


@pytest.mark.parametrize("kept", [(), ("tokenizer_config.json",)], ids=["nothing", "its settings"])
@pytest.mark.parametrize("family", [*miniature_generators.FAMILIES, *miniature_dual_encoders.FAMILIES])
def test_a_family_without_its_vocabulary_is_refused_in_one_sentence(card, tmp_path, family, kept):
    adapter = save(family, tmp_path)
    settings = {name: (tmp_path / name).read_bytes() for name in kept if (tmp_path / name).exists()}
    gone = without(tmp_path, *FILES)
    for name, content in settings.items():
        (tmp_path / name).write_bytes(content)
    assert bool(gone) == (family not in OWN_WORDS)
    if gone:
        with pytest.raises(BrokenModel, match=r"^miniature: .*(vocab|tokenizer|bert)[^\n]*$"):
            imported(adapter)(card, tmp_path, "cpu", "float32")


@pytest.mark.parametrize("family", ["CLIP", "llava"])
def test_a_tokenizer_without_its_settings_is_one_message(card, tmp_path, family):
    adapter = save(family, tmp_path)
    without(tmp_path, "tokenizer_config.json")
    with pytest.raises(BrokenModel, match="has no usable tokenizer"):
        imported(adapter)(card, tmp_path, "cpu", "float32")


def test_a_tokenizer_without_an_image_processor_is_refused(card, tmp_path):
    save("llava", tmp_path)
    without(tmp_path, "processor_config.json")
    with pytest.raises(BrokenModel, match="has no image processor"):
        load_processor(card, tmp_path)


def test_an_image_processor_without_a_tokenizer_is_refused(card, tmp_path):
    CLIPImageProcessor().save_pretrained(tmp_path)
    (tmp_path / "vocab.txt").touch()
    with pytest.raises(BrokenModel, match="has no usable processor: it has no tokenizer"):
        load_processor(card, tmp_path)


@pytest.mark.parametrize("words", [["[UNK]"], ["[UNK]", "a"], ["[UNK]", "lung", "nodule"]])
def test_a_vocabulary_that_does_not_tell_words_apart_is_refused(card, tmp_path, words):
    (tmp_path / "vocab.txt").write_text("\n".join(["[PAD]", "[CLS]", "[SEP]", "[MASK]", *words]))
    with pytest.raises(BrokenModel, match=r"miniature: .* it does not know the words 'a' and 'the'"):
        refuse_unusable(card, tmp_path, BertTokenizer(str(tmp_path / "vocab.txt")))
