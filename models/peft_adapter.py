"""Checkpoints that hold only what fine-tuning changed: a peft adapter directory, applied to its base model."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from pickle import UnpicklingError
from shutil import copytree, ignore_patterns
from tempfile import TemporaryDirectory

from safetensors import SafetensorError
from safetensors.torch import load_file

from medrival.catalog import ModelCard, imported
from medrival.contracts import DualEncoder, Generator
from medrival.errors import BrokenModel, first_line
from medrival.models.checkpoint import damaged
from medrival.models.files import has_tokenizer, weight_files
from medrival.models.placement import Shapes, refuse_too_large, shapes
from medrival.reads import VOCABULARIES
from medrival.weights import locate

TOKENIZER = (*VOCABULARIES, "merges.txt", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")
PROCESSOR = ("processor_config.json", "preprocessor_config.json", "video_preprocessor_config.json")
TEMPLATE = ("chat_template.jinja", "chat_template.json")
"""What training libraries save beside an adapter, for it was trained with these and not with those of its base model."""


def merged(card: ModelCard, folder: Path, device: str, dtype: str) -> DualEncoder | Generator:
    """The base model as its own adapter loads it, with the adapter's weights merged into it by peft.

    Merged, so that regimes find the same layers as in the base model. Below float32 merging rounds: what is measured is what
    peft's `merge_and_unload` would save. Tokenizer, image processor and template are the directory's own, where it has any.

    Raises:
        BrokenModel: no safetensors, an adapter that cannot be merged, one that does not fit the base model, a tokenizer with
            tokens that the base model has no embeddings for, or the precision "4bit", in which merging would round the base
            model's weights a second time.
        OutOfMemory: base model and adapter do not fit.
    """
    from peft import PeftModel

    if card.base is None:
        raise BrokenModel(f"{card.name}: an adapter directory needs a base model; enter it with --candidate {folder}")
    file = folder / "adapter_model.safetensors"
    if not file.is_file():
        raise BrokenModel(
            f"{card.name}: {folder} has no adapter_model.safetensors; pickled adapters (.bin) are not read: save it once more "
            "with peft's save_pretrained"
        )
    if dtype == "4bit":
        raise BrokenModel(
            f"{card.name}: merging an adapter into weights in 4 bits would round them a second time; take --dtype bfloat16, or "
            "save the merged model with peft's merge_and_unload and enter that"
        )
    _refuse_damaged(card, file)
    whole = locate(card.base, None)
    refuse_too_large(card, _stored(whole, file), device, dtype, divides=True, packs=False)
    with _as_trained(card, folder, card.base, whole) as place:
        base: DualEncoder | Generator = imported(card.base.adapter)(card.base, place, device, dtype)
    try:
        with warnings.catch_warnings():
            # peft only warns where weights of an adapter are missing, and goes on with an adapter that does nothing.
            warnings.filterwarnings("ignore", message="Found missing adapter keys")
            adapted = PeftModel.from_pretrained(base.module, folder, is_trainable=False)
            read = adapted.load_adapter(str(folder), adapted.active_adapter, torch_device=device)
        _refuse_unlike(card, file, whole, read.missing_keys, read.unexpected_keys)
        adapted.merge_and_unload(safe_merge=True)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
        if "out of memory" in str(error).lower():
            raise
        raise BrokenModel(
            f"{card.name}: the adapter in {folder} does not fit its base model {whole}: {first_line(error)}"
        ) from error
    base.module.eval().requires_grad_(False)
    return base


def _refuse_damaged(card: ModelCard, file: Path) -> None:
    """A file that is cut short, or of a training that diverged, is told from one that belongs to another base model."""
    try:
        weights = load_file(file)
    except SafetensorError as error:
        raise damaged(card, file, error) from error
    if lost := sorted(name for name, weight in weights.items() if not weight.float().isfinite().all()):
        raise BrokenModel(
            f"{card.name}: {len(lost)} weights in {file} are not finite numbers (the first: {lost[0]}); its training diverged, "
            "or the file is damaged"
        )


def _stored(whole: Path, file: Path) -> Shapes:
    """Shapes of an adapter's weights and of its base model's, unless these cannot be read: its loader says why."""
    with suppress(SafetensorError, UnpicklingError, OSError, EOFError, RuntimeError):
        return shapes([file, *weight_files(whole)])
    return shapes([file])


def _refuse_unlike(card: ModelCard, file: Path, base: Path, missing: Sequence[str], unread: Sequence[str]) -> None:
    """An adapter is applied as a whole or not at all."""
    if missing:
        raise BrokenModel(
            f"{card.name}: {file} lacks {len(missing)} weights of the adapter that its adapter_config.json makes on {base} "
            f"(the first: {min(missing)}); name the base model that it was trained on in base_model_name_or_path"
        )
    if unread:
        raise BrokenModel(f"{card.name}: {base} has no layer for {len(unread)} weights of {file} (the first: {min(unread)})")


@contextmanager
def _as_trained(card: ModelCard, folder: Path, base: ModelCard, whole: Path) -> Iterator[Path]:
    """The base model's directory as the adapter was trained with it: tokenizer, processor and template are the adapter's own.

    Links in a temporary directory, where the base model's loader finds everything under the names that it looks for.
    """
    own = _like(folder, (*TOKENIZER, *PROCESSOR, *TEMPLATE))
    if not own:
        yield whole
        return
    replaced = {*TEMPLATE, *(path.name for path in own)}
    replaced |= {path.name for path in _like(whole, TOKENIZER) if has_tokenizer(folder)}
    replaced |= {path.name for path in _like(whole, PROCESSOR) if _like(folder, PROCESSOR)}
    with TemporaryDirectory() as temporary:
        place = Path(temporary)
        copytree(whole.resolve(), place, copy_function=os.symlink, ignore=ignore_patterns(*replaced), dirs_exist_ok=True)
        for path in own:
            if path.name not in TEMPLATE:
                (place / path.name).symlink_to(path.resolve())
        if template := _template(card, folder) or _template(card, whole):
            (place / TEMPLATE[0]).write_text(template, encoding="utf-8")  # the file that comes before all others
        if _like(folder, TOKENIZER):
            _refuse_new_tokens(card, place, base, whole)
        try:
            yield place
        except BrokenModel as error:
            raise BrokenModel(str(error).replace(str(place), str(whole))) from error


def _like(folder: Path, patterns: Sequence[str]) -> list[Path]:
    return [path for pattern in patterns for path in folder.glob(pattern)]


def _template(card: ModelCard, folder: Path) -> str:
    """A directory's chat template: in a file of its own or, as older versions saved it, among other settings; else ""."""
    try:
        if (written := folder / TEMPLATE[0]).is_file():
            return written.read_text(encoding="utf-8")
        for name in (TEMPLATE[1], PROCESSOR[0], "tokenizer_config.json"):
            settings = json.loads((folder / name).read_text(encoding="utf-8")) if (folder / name).is_file() else {}
            if said := settings.get("chat_template"):
                return said if isinstance(said, str) else {one["name"]: one["template"] for one in said}["default"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BrokenModel(f"{card.name}: the chat template in {folder} cannot be read: {first_line(error)}") from error
    return ""


def _refuse_new_tokens(card: ModelCard, place: Path, base: ModelCard, whole: Path) -> None:
    """Tokens that training added have no embedding in the base model, or a random one."""
    from transformers import AutoTokenizer

    try:
        own, known = (
            AutoTokenizer.from_pretrained(one, local_files_only=True, trust_remote_code=base.trusted).get_vocab()
            for one in (place, whole)
        )
    except (OSError, ImportError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise BrokenModel(f"{card.name}: its tokenizer cannot be compared with {base.name}'s: {first_line(error)}") from error
    if new := own.items() - known.items():
        raise BrokenModel(
            f"{card.name}: its tokenizer has {len(new)} tokens that {base.name} does not know, such as {min(new)[0]!r}; "
            "save the merged model and the tokenizer together, and enter that"
        )
