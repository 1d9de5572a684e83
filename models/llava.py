"""LLaVA as its own code shows images and puts prompts together, whatever the layout that its weights lie in.

Facts: the code at github.com/haotian-liu/LLaVA (mm_utils.py): `expand2square` pads images with the mean colour, and
`tokenizer_image_token` tokenises each stretch of text around an image by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image as PIL

from medrival.catalog import ModelCard
from medrival.contracts import Generator, Images
from medrival.models.checkpoint import load_module, load_processor
from medrival.models.generator import speaking

if TYPE_CHECKING:
    import torch

PLACE = "<image>"


def padded(card: ModelCard, folder: Path, device: str, dtype: str) -> Generator:
    """LLaVA-1.5 in transformers' layout, with images padded to squares: the hub's own processor cuts the middle square out.

    A LLaVA whose processor cuts nothing out, such as one with SigLIP's, sees what that processor shows it.

    Raises:
        BrokenModel: the directory does not load.
        OutOfMemory: the weights do not fit.
    """
    from transformers import AutoModelForImageTextToText, LlavaImageProcessor

    module = load_module(card, AutoModelForImageTextToText, folder, device, dtype)
    processor = load_processor(card, folder)
    if getattr(processor.image_processor, "do_center_crop", False):
        processor.image_processor = LlavaImageProcessor.from_dict({**processor.image_processor.to_dict(), "do_pad": True})
    return speaking(card, module, processor)


def square(image: PIL.Image, mean: Sequence[float]) -> PIL.Image:
    """The image in the middle of a square of the mean colour, of which each channel is of 0 to 1."""
    side = max(image.size)
    padded = PIL.new("RGB", (side, side), tuple(int(255 * one) for one in mean))
    padded.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    return padded


class Spliced:
    """Images and prompts as inputs of LLaVA, each stretch of text around an image tokenised by itself.

    A tokenizer that begins texts with a space begins each stretch with one, so that the line break behind an image has other
    tokens than in a text that is tokenised whole.
    """

    def __init__(self, tokenizer: Any, image_processor: Any, chat_template: str, image: int, places: int) -> None:
        """`image` is the token that stands in an image's places, of which each image has so many."""
        self.tokenizer = tokenizer
        self.image_processor = image_processor
        self.chat_template = chat_template
        self.image_token = PLACE
        self._image = [image] * places

    def apply_chat_template(self, conversation: Sequence[Any], **options: Any) -> str:
        """The conversation as text, with a mark for each image."""
        text: str = self.tokenizer.apply_chat_template(conversation, **options)
        return text

    def __call__(
        self, images: Images, text: Sequence[str], padding: bool, add_special_tokens: bool, return_tensors: str
    ) -> dict[str, torch.Tensor]:
        """Tokens and mask [prompts, longest], and pixels [images, 3, side, side]."""
        rows = {"input_ids": [self._tokens(prompt, add_special_tokens) for prompt in text]}
        pixels = self.image_processor([image for shown in images for image in shown], return_tensors=return_tensors)
        return {**self.tokenizer.pad(rows, padding=padding, return_tensors=return_tensors), **pixels}

    def _tokens(self, prompt: str, start: bool) -> list[int]:
        first, *others = prompt.split(PLACE)
        tokens = list(self.tokenizer(first, add_special_tokens=start)["input_ids"])
        for other in others:
            tokens += [*self._image, *self.tokenizer(other, add_special_tokens=False)["input_ids"]]
        return tokens
