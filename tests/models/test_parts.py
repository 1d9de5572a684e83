"""Which part of a generator a layer or a parameter is of, by the names that a true architecture has."""

from transformers import Blip2Config, Blip2ForConditionalGeneration, Blip2QFormerConfig, Blip2VisionConfig, OPTConfig

from medrival.models.checkpoint import linear_layers
from medrival.models.parts import parts

SIZE = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}


def test_what_lies_between_tower_and_language_model_is_the_projector_and_not_the_language_model():
    """BLIP-2's Q-Former and the layer behind it."""
    config = Blip2Config(
        vision_config=Blip2VisionConfig(**SIZE, intermediate_size=64, image_size=16, patch_size=8),
        qformer_config=Blip2QFormerConfig(**SIZE, intermediate_size=64, vocab_size=99, encoder_hidden_size=32),
        text_config=OPTConfig(**SIZE, word_embed_proj_dim=32, ffn_dim=64, vocab_size=99),
    )
    module = Blip2ForConditionalGeneration(config)
    layers = tuple(name for name in linear_layers(module) if not name.startswith("vision_model."))
    found = parts(module, layers)
    assert {name.partition(".")[0] for name in found.language} == {"language_model"}
    assert {name.partition(".")[0] for name in found.projector} == {"qformer", "language_projection"}
    assert {name.partition(".")[0] for name in found.vision} == {"vision_model"}
