"""A frozen image tower looks at an image once, and nobody can tell that from what the model says."""

import copy
from dataclasses import replace

import pytest
import torch
from transformers import Mistral3Config, Mistral3ForConditionalGeneration, MistralConfig, PixtralVisionConfig

from medrival.models import generator
from medrival.models.remembered import TOGETHER, Kept, remember
from medrival.regimes.adapters import insert
from medrival.regimes.taught import answer_loss
from tests.models.miniature_generators import FAMILIES, TEXT, VISION, pictures, save

LOOKING = ["llava", "llava-next", "internvl3", "gemma3", "idefics3"]


@pytest.fixture
def miniature(rows, tmp_path):
    def load(family="llava"):
        folder = tmp_path / family
        if not folder.exists():
            folder.mkdir()
            save(FAMILIES[family], folder)
        return generator.transformers(replace(rows.models["pocket-llava"], name=family), folder, "cpu", "float32")

    return load


def tower(model):
    return next(part for name, part in model.module.named_modules() if name.endswith(("vision_tower", "vision_model")))


def looks(model):
    """How many images the tower has looked at, so far and from now on."""
    seen = []
    tower(model).embeddings.register_forward_hook(
        lambda _, __, output: seen.append(len(output[0] if isinstance(output, tuple) else output))
    )
    return seen


@pytest.mark.parametrize("family", LOOKING)
def test_an_image_is_looked_at_once_for_all_questions_answers_and_lessons_about_it(miniature, family):
    model, (one, other) = miniature(family), pictures(2)
    seen = looks(model)
    model.answer([[one], [one], [other, one]], ["What?", "Where is it?", "Which?"], 3)
    once = sum(seen)
    model.answer([[other], [one]], ["Who?", "Why?"], 3)
    model.loglikelihood([[one], [other]], ["What?", "Who?"], [["yes", "no"], ["A", "B"]])
    answer_loss(model.module, model.teach([[one], [other]], ["What?", "Who?"], ["yes", "no"]))
    assert sum(seen) == once > 0


@pytest.mark.parametrize("family", LOOKING)
def test_what_is_made_of_an_image_does_not_depend_on_what_was_beside_or_before_it(miniature, family):
    shown = pictures(TOGETHER + 3)
    fresh, used = miniature(family), miniature(family)
    used.answer([[picture] for picture in shown[::-1]], ["What?"] * len(shown), 2)
    asked = [[shown[1]]], ["Where?"], [["yes", "no"]]
    assert used.loglikelihood(*asked) == fresh.loglikelihood(*asked)


@pytest.mark.parametrize("family", LOOKING)
def test_a_cpu_looks_at_images_together_where_it_makes_of_each_what_it_makes_of_one_alone(miniature, family):
    model, shown = miniature(family), pictures(TOGETHER + 3)
    seen, alone = looks(model), miniature(family)
    asked = [[picture] for picture in shown], ["Where?"] * len(shown), [["yes", "no"]] * len(shown)
    likely = model.loglikelihood(*asked)
    for picture in shown:
        alone.answer([[picture]], ["What?"], 1)
    assert likely == alone.loglikelihood(*asked)
    assert TOGETHER in seen


@pytest.mark.parametrize(("count", "together"), [(TOGETHER + 3, [TOGETHER, 1, 1, 1]), (TOGETHER - 1, [TOGETHER])])
def test_a_cpu_looks_at_so_many_together_and_at_a_few_one_after_the_other(miniature, count, together):
    model = miniature()
    seen = looks(model)
    model.answer([[picture] for picture in pictures(count)], ["What?"] * count, 1)
    (same,) = tower(model).adds_nothing.values()  # of this machine's sums
    assert seen == [2, 1, TOGETHER, *(together if same else [1] * count)]


@pytest.mark.parametrize("changing", [lambda rows: torch.full((rows,), float(rows)), torch.arange])
def test_a_cpu_whose_sums_change_with_number_or_place_of_images_looks_at_one_after_the_other(miniature, changing):
    shown, (fresh, used) = pictures(TOGETHER), (miniature(), miniature())
    for model in (fresh, used):
        tower(model).embeddings.register_forward_hook(
            lambda _, __, output: output * (1 + 1e-6 * changing(len(output)))[:, None, None]
        )
    seen = looks(used)
    used.answer([[picture] for picture in shown], ["What?"] * TOGETHER, 2)
    assert seen == [2, 1, TOGETHER, *[1] * TOGETHER]  # whether it makes a row of each, and the same rows, is tried first
    asked = [[shown[1]]], ["Where?"], [["yes", "no"]]
    assert used.loglikelihood(*asked) == fresh.loglikelihood(*asked)


def test_what_inference_has_seen_can_be_learnt_from(miniature):
    model, (picture, _) = miniature(), pictures(2)
    model.answer([[picture]], ["What?"], 2)
    adapters = insert(model.module, model.lora, {"rank": 2, "alpha": 4}, seed=0)
    answer_loss(model.module, model.teach([[picture]], ["What?"], ["yes"])).backward()
    assert all(p.grad is not None for p in adapters.parameters.values())


def test_a_tower_that_is_trained_looks_every_time_and_afterwards_sees_as_before(miniature):
    model, (picture, _) = miniature(), pictures(2)
    asked = [[picture]], ["What?"], [["yes", "no"]]
    before = model.loglikelihood(*asked)
    adapters = insert(model.module, model.parts.vision[:4], {"rank": 2, "alpha": 4}, seed=0)
    with torch.no_grad():
        for parameter in adapters.parameters.values():
            parameter.add_(0.1)
    assert model.loglikelihood(*asked) != before
    adapters.remove()
    assert model.loglikelihood(*asked) == before


@pytest.mark.parametrize("change", [lambda weight: weight.mul_(1.5), lambda weight: setattr(weight, "data", weight * 1.5)])
def test_frozen_weights_that_were_changed_look_again(miniature, change):
    model, (picture, _) = miniature(), pictures(2)
    asked = [[picture]], ["What?"], [["yes", "no"]]
    before = model.loglikelihood(*asked)
    with torch.no_grad():
        for weight in tower(model).parameters():
            change(weight)
    assert model.loglikelihood(*asked) != before


def test_a_copy_looks_with_its_own_weights(miniature):
    model = miniature()
    other = copy.deepcopy(tower(model))
    for weight in other.parameters():
        weight.data.mul_(1.5)
    side = other.config.image_size
    with torch.inference_mode():
        one, two = (part(torch.ones(1, 3, side, side)).last_hidden_state for part in (tower(model), other))
    assert not torch.equal(one, two)


def test_a_tower_that_makes_one_row_of_all_images_looks_every_time():
    """Pixtral's, as Mistral 3 has it: the patches of one image behind those of the other."""
    vision = PixtralVisionConfig(**VISION, image_size=16, patch_size=8)
    text = MistralConfig(**TEXT, vocab_size=99)
    config = Mistral3Config(vision_config=vision, text_config=text, spatial_merge_size=1)
    module = Mistral3ForConditionalGeneration(config).eval().requires_grad_(False)
    pixels, sizes = torch.randn(2, 3, 16, 16), torch.tensor([[16, 16], [16, 16]])
    plain = [module.model.get_image_features(pixels[:n], image_sizes=sizes[:n]).pooler_output for n in (1, 2)]
    remember(module)
    again = [module.model.get_image_features(pixels[:n], image_sizes=sizes[:n]).pooler_output for n in (1, 2)]
    torch.testing.assert_close(again, plain)


def test_what_was_used_longest_ago_makes_room():
    row = {"last_hidden_state": torch.zeros(10)}
    kept = Kept(room=100)
    kept.add(b"first", row)
    kept.add(b"second", row)
    assert kept.get(b"first") is row
    kept.add(b"third", row)
    assert [kept.get(key) is row for key in (b"first", b"second", b"third")] == [True, False, True]


def test_without_room_every_image_is_looked_at_again(miniature):
    model, (picture, _) = miniature(), pictures(2)
    asked = [[picture]], ["Which?"], [["A", "B"]]
    plain = model.loglikelihood(*asked)
    again = miniature()
    tower(again).forward = tower(again).look
    remember(again.module, room=10)
    seen = looks(again)
    assert [again.loglikelihood(*asked) for _ in range(2)] == [plain, plain]
    assert sum(seen) == 2 + 2  # two show once whether it makes a row of each
