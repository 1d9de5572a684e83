"""The miniature dual encoders as their own libraries load and compute them, without an adapter of ours."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from medrival.checks.dual_encoder import Library
from tests.models.miniature_dual_encoders import bert_tokenizer, bert_tower, resnet_tower, swin_tower


def clip(folder: Path) -> Library:
    return _of_transformers(folder, lambda words, text: words(text, return_tensors="pt"))


def siglip(folder: Path) -> Library:
    def read(words: Any, text: str) -> dict[str, torch.Tensor]:
        padded = words(text.lower(), padding="max_length", max_length=64, truncation=True, return_tensors="pt")
        return {"input_ids": padded["input_ids"]}

    return _of_transformers(folder, read)


def open_clip(folder: Path) -> Library:
    import open_clip as library

    words = library.get_tokenizer(f"local-dir:{folder}")

    def load(dtype: str) -> Any:
        precision = {"float32": "fp32", "bfloat16": "pure_bf16"}[dtype]
        model, transform = library.create_model_from_pretrained(f"local-dir:{folder}", precision=precision)
        return model.eval(), transform, getattr(torch, dtype)

    def seen(loaded: Any, image: Image.Image) -> torch.Tensor:
        model, transform, kind = loaded
        return model.encode_image(transform(image)[None].to(kind))

    return Library(load, seen, lambda loaded, text: loaded[0].encode_text(words([text])))


def blip(folder: Path) -> Library:
    from transformers import BlipForImageTextRetrieval

    return _by_its_heads(folder, BlipForImageTextRetrieval, ("vision_proj", "text_proj"), use_itm_head=False)


def blip2(folder: Path) -> Library:
    from transformers import Blip2ForImageTextRetrieval

    return _by_its_heads(folder, Blip2ForImageTextRetrieval, ("vision_projection", "text_projection"))


def medclip(folder: Path) -> Library:
    """The towers that the file was written from; the package itself is not installed. Its pixels have a test of their own."""
    from medrival.models.medclip import DEVIATION, MEAN, _square

    words, file = bert_tokenizer(folder), torch.load(folder / "pytorch_model.bin")
    heads = [file[f"{part}_model.projection_head.weight"] for part in ("vision", "text")]

    def load(dtype: str) -> Any:
        return [part.to(getattr(torch, dtype)) for part in (swin_tower(), bert_tower(words), *heads)]

    def seen(loaded: Any, image: Image.Image) -> torch.Tensor:
        swin, _, head, _ = loaded
        pixels = (torch.from_numpy(np.asarray(_square(image), dtype=np.float32)) / 255 - MEAN) / DEVIATION
        return swin(pixels.expand(1, 3, -1, -1).to(head)).pooler_output @ head.T

    def read(loaded: Any, text: str) -> torch.Tensor:
        _, bert, _, head = loaded
        layers = bert(**words(text, return_tensors="pt"), output_hidden_states=True).hidden_states
        return torch.stack([layers[1], layers[2], layers[-1]]).mean(dim=(0, 2)) @ head.T

    return Library(load, seen, read)


def pmc_clip(folder: Path) -> Library:
    """The towers that the files were written from, as the authors' code puts them together."""
    from open_clip.transform import PreprocessCfg, image_transform_v2

    words, head = bert_tokenizer(folder), torch.load(folder / "text_projection_layer.pth")
    transform = image_transform_v2(PreprocessCfg(size=64), is_train=False)

    def load(dtype: str) -> Any:
        return [part.to(getattr(torch, dtype)) for part in (resnet_tower(), bert_tower(words), head)]

    def read(loaded: Any, text: str) -> torch.Tensor:
        _, bert, projection = loaded
        ids = words(text, padding="max_length", max_length=77, return_tensors="pt")["input_ids"]
        return bert(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state[:, 0] @ projection

    return Library(load, lambda loaded, image: loaded[0](transform(image)[None].to(loaded[2].dtype)), read)


LIBRARIES: dict[str, Callable[[Path], Library]] = {
    "CLIP": clip,
    "SigLIP": siglip,
    "SigLIP 2": siglip,
    "SigLIP 2 of fixed size": siglip,
    "open_clip": open_clip,
    "BiomedCLIP": open_clip,
    "BLIP": blip,
    "BLIP-2": blip2,
    "MedCLIP": medclip,
    "PMC-CLIP": pmc_clip,
}
"""By the names of `FAMILIES`."""


def _of_transformers(folder: Path, inputs: Callable[[Any, str], Any]) -> Library:
    from transformers import AutoModel, AutoProcessor

    processor = AutoProcessor.from_pretrained(folder)

    def load(dtype: str) -> Any:
        return AutoModel.from_pretrained(folder, dtype=getattr(torch, dtype)).eval()

    def seen(model: Any, image: Image.Image) -> torch.Tensor:
        shown = processor.image_processor(images=[image], return_tensors="pt")
        return model.get_image_features(**shown.to(model.dtype)).pooler_output

    return Library(load, seen, lambda model, text: model.get_text_features(**inputs(processor.tokenizer, text)).pooler_output)


def _by_its_heads(folder: Path, kind: Any, heads: tuple[str, str], **options: bool) -> Library:
    """What two heads give in the library's own forward, which makes scores of them."""
    from transformers import AutoProcessor

    processor = AutoProcessor.from_pretrained(folder)
    grey = Image.new("RGB", (32, 32))

    def load(dtype: str) -> Any:
        return kind.from_pretrained(folder, dtype=getattr(torch, dtype)).eval()

    def told(model: Any, image: Image.Image, text: str, head: str) -> torch.Tensor:
        found: list[torch.Tensor] = []
        hook = model.get_submodule(head).register_forward_hook(lambda _, __, output: found.append(output))
        words = processor.tokenizer(text, return_tensors="pt")
        shown = processor.image_processor(images=[image], return_tensors="pt").to(model.dtype)
        inputs = {name: words[name] for name in ("input_ids", "attention_mask")} | {"pixel_values": shown["pixel_values"]}
        model(**inputs, **options)
        hook.remove()
        return found[0].flatten(1)

    return Library(
        load, lambda model, image: told(model, image, "a", heads[0]), lambda model, text: told(model, grey, text, heads[1])
    )
