"""Miniature dual encoders of the true architectures: seeded random weights, in the layout that the hub or the authors serve."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

TEXTS = ("a photo of clear lungs", "Pneumonia", "a photo of a very large red lesion of the left lower lung, with edema")
WORDS = ("a", "photo", "of", "the", "clear", "lungs", "lung", "very", "large", "red", "lesion", "left", "lower", ",", "with")
PIECES = ("pneumonia", "edema", "x", "##s", "p", "##n", "##e", "##u", "##m", "##o", "##i", "##a")
SMALL = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3, "num_attention_heads": 2}
VISION = {**SMALL, "image_size": 32, "patch_size": 8}
SQUARE = {"height": 32, "width": 32}


def images(*sizes: tuple[int, int]) -> list[Image.Image]:
    """Coarse patches of colour, so that images differ for networks that average."""
    rng = np.random.default_rng(0)
    patches = [Image.fromarray(rng.integers(0, 256, (3, 3, 3), dtype=np.uint8)) for _ in sizes]
    return [patch.resize(size, Image.Resampling.NEAREST) for patch, size in zip(patches, sizes, strict=True)]


def mixed_images() -> list[Image.Image]:
    return images((64, 64), (100, 40), (31, 77), (8, 9), (300, 260), (224, 224), (65, 64))


def random_weights(module: torch.nn.Module) -> torch.nn.Module:
    """Large enough that every layer matters: some libraries begin with zeros, or with numbers that are nearly none."""
    torch.manual_seed(0)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=0.7 * parameter[0].numel() ** -0.5)
            elif parameter.ndim == 1:
                parameter.normal_(mean=float(name.endswith("weight")), std=0.1)
    return module.eval()


def bert_tokenizer(folder: Path, extra: Sequence[str] = ()):
    from transformers import BertTokenizer

    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = folder / "vocab.txt"
    vocabulary.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, *PIECES, *extra]))
    return BertTokenizer(str(vocabulary))


LETTERS = {letter: i for i, letter in enumerate(["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "▁", *map(chr, range(33, 127))])}


def letter_tokenizer():
    """SigLIP 2's class with a vocabulary of single characters; as its own, it marks the end of a text."""
    from tokenizers.processors import TemplateProcessing
    from transformers import Siglip2Tokenizer

    words = Siglip2Tokenizer(vocab=LETTERS, merges=[], padding_side="right")
    words.backend_tokenizer.post_processor = TemplateProcessing(single="$A <eos>", special_tokens=[("<eos>", 1)])
    return words


def sentencepiece_tokenizer(folder: Path):
    """SigLIP's own class, on a vocabulary learned from the texts; the network's 64 positions are its length."""
    from sentencepiece import SentencePieceTrainer
    from transformers import SiglipTokenizer

    folder.mkdir(parents=True, exist_ok=True)
    marks = {"pad_id": 0, "eos_id": 1, "bos_id": -1, "unk_id": 2}
    SentencePieceTrainer.train(
        sentence_iterator=iter([text.lower() for text in TEXTS] * 20),
        model_prefix=str(folder / "spiece"),
        vocab_size=100,
        hard_vocab_limit=False,
        minloglevel=2,
        **marks,
    )
    (folder / "spiece.vocab").unlink()
    return SiglipTokenizer(str(folder / "spiece.model"), model_max_length=64)


def save_clip(folder: Path) -> None:
    from transformers import AutoProcessor, CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor

    from medrival.models import pocket

    words = AutoProcessor.from_pretrained(Path(pocket.__path__[0]) / "clip").tokenizer
    ends = {"bos_token_id": words.bos_token_id, "eos_token_id": words.eos_token_id, "pad_token_id": words.pad_token_id}
    text = {**SMALL, "vocab_size": len(words), "max_position_embeddings": 40, **ends}
    random_weights(CLIPModel(CLIPConfig(text_config=text, vision_config=VISION, projection_dim=24))).save_pretrained(folder)
    CLIPProcessor(CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=SQUARE), words).save_pretrained(folder)


def siglip_text(words) -> dict[str, int]:
    ends = {"pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 2}
    return {**SMALL, "vocab_size": len(words), "max_position_embeddings": 64, "projection_size": 32, **ends}


def save_siglip(folder: Path) -> None:
    from transformers import SiglipConfig, SiglipImageProcessor, SiglipModel, SiglipProcessor

    words = sentencepiece_tokenizer(folder)
    random_weights(SiglipModel(SiglipConfig(text_config=siglip_text(words), vision_config=VISION))).save_pretrained(folder)
    SiglipProcessor(SiglipImageProcessor(size=SQUARE), words).save_pretrained(folder)


def save_siglip2(folder: Path) -> None:
    """Of native image size ("NaFlex"); those of fixed size are of SigLIP's type."""
    from transformers import Siglip2Config, Siglip2ImageProcessor, Siglip2Model, Siglip2Processor

    words = letter_tokenizer()
    config = Siglip2Config(text_config=siglip_text(words), vision_config={**SMALL, "num_patches": 16, "patch_size": 8})
    random_weights(Siglip2Model(config)).save_pretrained(folder)
    Siglip2Processor(Siglip2ImageProcessor(patch_size=8, max_num_patches=16), words).save_pretrained(folder)


def save_siglip2_of_fixed_size(folder: Path) -> None:
    """SigLIP's network with Gemma's tokenizer, as transformers' convert_siglip_to_hf.py makes it of google's checkpoints."""
    from transformers import GemmaTokenizer, SiglipConfig, SiglipImageProcessor, SiglipModel, SiglipProcessor

    marks = {"add_bos_token": False, "add_eos_token": True, "do_lower_case": True}
    words = GemmaTokenizer(vocab=LETTERS, padding_side="right", model_input_names=["input_ids"], **marks)
    random_weights(SiglipModel(SiglipConfig(text_config=siglip_text(words), vision_config=VISION))).save_pretrained(folder)
    SiglipProcessor(SiglipImageProcessor(size=SQUARE), words).save_pretrained(folder)


def save_open_clip(folder: Path, vision: dict | None = None, text: dict | None = None, *, pickled: bool = False) -> None:
    """With a text tower of its own and CLIP's vocabulary, unless `text` says otherwise."""
    import open_clip
    from safetensors.torch import save_file

    vision = vision or {"image_size": 32, "layers": 2, "width": 32, "patch_size": 8, "head_width": 16}
    text = text or {"context_length": 40, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2}
    shown = {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.3, 0.4], "interpolation": "bilinear", "resize_mode": "squash"}
    config = {"model_cfg": {"embed_dim": 24, "vision_cfg": vision, "text_cfg": text}, "preprocess_cfg": shown}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    model = open_clip.create_model(f"local-dir:{folder}", pretrained_text=False)
    weights = {name: weight.contiguous() for name, weight in random_weights(model).state_dict().items()}
    if pickled:
        torch.save(weights, folder / "open_clip_pytorch_model.bin")
    else:
        save_file(weights, folder / "open_clip_model.safetensors")


def save_biomed_clip(folder: Path) -> None:
    """As BiomedCLIP: a vision transformer of timm, a BERT of transformers, and pickled weights."""
    from transformers import BertConfig

    words = bert_tokenizer(folder)
    words.save_pretrained(folder)
    BertConfig(vocab_size=len(words), max_position_embeddings=64, **SMALL).save_pretrained(folder)
    text = {"hf_model_name": str(folder), "hf_tokenizer_name": "org/bert", "context_length": 40, "hf_proj_type": "mlp"}
    vision = {"timm_model_name": "test_vit", "timm_pool": "", "timm_proj": "linear", "image_size": 160}
    save_open_clip(folder, vision, {**text, "hf_pooler_type": "cls_last_hidden_state_pooler"}, pickled=True)


def save_blip(folder: Path) -> None:
    from transformers import BlipConfig, BlipForImageTextRetrieval, BlipImageProcessor, BlipProcessor

    words = bert_tokenizer(folder)
    ends = {"bos_token_id": 2, "eos_token_id": 3, "sep_token_id": 3}
    text = {**SMALL, "vocab_size": len(words), "max_position_embeddings": 64, "encoder_hidden_size": 32, **ends}
    config = BlipConfig(text_config=text, vision_config=VISION, image_text_hidden_size=24)
    random_weights(BlipForImageTextRetrieval(config)).save_pretrained(folder)
    BlipProcessor(BlipImageProcessor(size=SQUARE), words).save_pretrained(folder)


def save_blip2(folder: Path) -> None:
    from transformers import Blip2Config, Blip2ForImageTextRetrieval, Blip2Processor, BlipImageProcessor

    words = bert_tokenizer(folder, ["[DEC]"])
    processor = Blip2Processor(BlipImageProcessor(size=SQUARE), words)
    config = Blip2Config(
        vision_config=VISION,
        qformer_config={**SMALL, "vocab_size": len(words), "max_position_embeddings": 64, "use_qformer_text_input": True},
        text_config={"model_type": "opt", "hidden_size": 8, "num_hidden_layers": 1, "vocab_size": 8, "ffn_dim": 8},
        num_query_tokens=5,
        image_text_hidden_size=24,
    )
    random_weights(Blip2ForImageTextRetrieval(config)).save_pretrained(folder)
    processor.save_pretrained(folder)


def bert_tower(words):
    from transformers import BertConfig, BertModel

    return random_weights(BertModel(BertConfig(vocab_size=len(words), max_position_embeddings=80, **SMALL)))


def swin_tower():
    from transformers import SwinConfig, SwinModel

    return random_weights(SwinModel(SwinConfig(patch_size=16, embed_dim=16, depths=[1, 2], num_heads=[2, 4])))


def save_medclip(folder: Path) -> None:
    """The file that the package `medclip` reads, with the names of the version of transformers that its authors used."""
    text = bert_tower(bert_tokenizer(folder))
    text.config.save_pretrained(folder)
    weights = {f"vision_model.model.{name}": weight for name, weight in swin_names_of_2022(swin_tower().state_dict()).items()}
    weights |= {f"text_model.model.{name}": weight for name, weight in text.state_dict().items()}
    weights["text_model.model.embeddings.position_ids"] = torch.arange(80)[None]
    torch.manual_seed(1)
    weights["vision_model.projection_head.weight"] = torch.randn(24, 32)
    weights["text_model.projection_head.weight"] = torch.randn(24, 32)
    weights["logit_scale"] = torch.tensor(4.7)
    torch.save(weights, folder / "pytorch_model.bin")


def swin_names_of_2022(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    renamed = {
        "attention.q_proj": "attention.self.query",
        "attention.k_proj": "attention.self.key",
        "attention.v_proj": "attention.self.value",
        "attention.o_proj": "attention.output.dense",
        "attention.relative_position_bias.": "attention.self.",
        "mlp.fc1": "intermediate.dense",
        "mlp.fc2": "output.dense",
    }
    old = {}
    for name, weight in weights.items():
        for now, then in renamed.items():
            name = name.replace(now, then)
        old[name] = weight
        if name.endswith("relative_position_bias_table"):
            old[name.replace("bias_table", "index")] = torch.zeros(49, 49, dtype=torch.long)
    return old


def resnet_tower():
    from open_clip.modified_resnet import ModifiedResNet

    return random_weights(ModifiedResNet(layers=[1, 2, 1, 1], output_dim=24, heads=8, image_size=64, width=8))


def save_pmc_clip(folder: Path) -> None:
    """The three files that its authors extracted."""
    text = bert_tower(bert_tokenizer(folder))
    text.config.save_pretrained(folder)
    torch.save(resnet_tower().state_dict(), folder / "image_encoder(resnet50).pth")
    torch.save(text.state_dict() | {"embeddings.position_ids": torch.arange(80)[None]}, folder / "text_encoder.pth")
    torch.manual_seed(1)
    torch.save(torch.nn.Parameter(torch.randn(32, 24)), folder / "text_projection_layer.pth")


FAMILIES: dict[str, tuple[str, Callable[[Path], None]]] = {
    "CLIP": ("medrival.models.dual_encoder:transformers", save_clip),
    "SigLIP": ("medrival.models.dual_encoder:transformers", save_siglip),
    "SigLIP 2": ("medrival.models.dual_encoder:transformers", save_siglip2),
    "SigLIP 2 of fixed size": ("medrival.models.dual_encoder:transformers", save_siglip2_of_fixed_size),
    "open_clip": ("medrival.models.open_clip:open_clip", save_open_clip),
    "BiomedCLIP": ("medrival.models.open_clip:open_clip", save_biomed_clip),
    "BLIP": ("medrival.models.blip:blip", save_blip),
    "BLIP-2": ("medrival.models.blip:blip2", save_blip2),
    "MedCLIP": ("medrival.models.medclip:medclip", save_medclip),
    "PMC-CLIP": ("medrival.models.pmc_clip:pmc_clip", save_pmc_clip),
}
"""Every family of dual encoders: its adapter, and what saves a miniature of it into a directory."""
