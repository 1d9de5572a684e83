"""What does the suite cost beside the model's own forward passes? Asked for by --efficiency; one race per model."""

import pytest

from medrival.efficiency import features, generation, training

pytestmark = pytest.mark.efficiency


def test_feature_extraction_keeps_up_with_a_bare_loop(encoder, hold):
    hold(encoder, features.extraction(encoder))


def test_stored_features_cost_next_to_nothing(encoder, hold):
    hold(encoder, features.hit(encoder))


def test_all_regimes_of_the_frozen_tower_share_one_pass(encoder, hold):
    hold(encoder, features.frozen_regimes(encoder))


def test_batched_answers_outrun_one_question_at_a_time(generator, hold):
    hold(generator, generation.answers(generator))


def test_lora_steps_keep_up_with_a_bare_peft_loop(generator, lora, hold):
    hold(generator, training.adapters(generator, lora))
