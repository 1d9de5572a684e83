"""BERTScore of open answers, with an encoder of the user's choice (Zhang et al. 2020, BERTScore).

Tokens of the answer and of the reference are matched greedily by the cosine of their vectors in the encoder's last hidden
layer; F1 of the mean best match of the answer's tokens (precision) and of the reference's (recall). No idf weights, no
rescaling with a baseline. Tokens that the tokenizer adds ([CLS], [SEP]) neither count nor are matched with.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from medrival import fingerprints
from medrival.batches import Progress, out_of_memory
from medrival.cache import Cache
from medrival.contracts import Prediction
from medrival.errors import BrokenModel, first_line
from medrival.scorers import Scores
from medrival.store import key_of
from medrival.tasks.metrics.vqa import accepted

if TYPE_CHECKING:
    import torch

VERSION = "1"
"""Of the computation below; another version's values are not used again."""

BATCH = 64
LONGEST = 512
"""Tokens at most where neither tokenizer nor encoder has a limit."""

Pair = tuple[str, str]


class BertScore:
    """Scores open answers; the encoder is loaded once a process, when the first answer is not in the cache.

    The metric `bertscore` is 0 for a failed sample and for an answer without a token. Answers are taken as they are, without
    normalisation, and cut where the encoder's input ends.
    """

    def __init__(self, folder: Path, device: str, cache: Cache, progress: Progress) -> None:
        self._folder = folder
        self._device = device
        self._cache = cache
        self._progress = progress

    def __call__(self, predictions: Sequence[Prediction]) -> Scores:
        """F1 of each open answer; of several right answers with the one that is most alike.

        Raises:
            BrokenModel: the folder holds no text encoder that loads.
        """
        said = {pair for p in predictions for pair in _pairs(p)}
        known = self._known(sorted(said)) if said else {}
        values = [max((known[pair] for pair in _pairs(p)), default=0.0) if p.form == "open" else np.nan for p in predictions]
        about = {"encoder": fingerprints.weights(self._folder), "layer": "last", "idf": False, "rescaled": False}
        return Scores({"bertscore": np.array(values, dtype=np.float64)}, {"bertscore": about})

    def _known(self, pairs: Sequence[Pair]) -> dict[Pair, float]:
        libraries = [f"{library}={version(library)}" for library in ("torch", "transformers", "tokenizers")]
        key = key_of(
            {"bertscore": VERSION, "encoder": fingerprints.weights(self._folder), "libraries": libraries, "pairs": pairs}
        )
        kept = self._cache.get(key)
        if kept is None:
            kept = {"f1": self._f1(pairs)}
            self._cache.keep(key, kept)
        return dict(zip(pairs, kept["f1"], strict=True))

    def _f1(self, pairs: Sequence[Pair]) -> list[float]:
        """By length, so that a batch is padded little; results in the pairs' order."""
        order = sorted(range(len(pairs)), key=lambda i: (sum(map(len, pairs[i])), i))
        chunks = [order[start : start + BATCH] for start in range(0, len(order), BATCH)]
        found = [0.0] * len(pairs)
        for chunk in self._progress(chunks, "BERTScore"):
            scores = self._encoder.f1([pairs[i][0] for i in chunk], [pairs[i][1] for i in chunk])
            for i, score in zip(chunk, scores, strict=True):
                found[i] = score
        return found

    @cached_property
    def _encoder(self) -> Encoder:
        return Encoder(self._folder, self._device)


class Encoder:
    """A transformers text encoder in float32, read from a local directory of safetensors; no code beside them is run."""

    def __init__(self, folder: Path, device: str) -> None:
        self._folder = folder
        self._module, self._tokenizer = _loaded(folder, device)
        self._longest = min(
            self._tokenizer.model_max_length,
            getattr(self._module.config, "max_position_embeddings", LONGEST + 2) - 2,  # RoBERTa's first two are taken
        )

    def f1(self, answers: Sequence[str], truths: Sequence[str]) -> list[float]:
        """F1 of each answer against its truth; 0 where either has no token, or matches nothing better than at right angles."""
        import torch

        with torch.inference_mode():
            said, of_said = self._tokens(answers)
            true, of_true = self._tokens(truths)
            cosines = said @ true.transpose(1, 2)
            cosines = cosines.masked_fill(~(of_said[:, :, None] & of_true[:, None, :]), -1.0)
            precision = _mean(cosines.amax(dim=2), of_said)
            recall = _mean(cosines.amax(dim=1), of_true)
            defined = of_said.any(dim=1) & of_true.any(dim=1) & (precision > 0) & (recall > 0)
            f1 = torch.where(defined, 2 * precision * recall / (precision + recall), 0.0)
        return [float(value) for value in f1.clamp(max=1.0).cpu()]  # above by rounding alone

    def _tokens(self, texts: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """Vectors of length 1 [texts, tokens, dim], and which of them are of the text's own tokens [texts, tokens]."""
        import torch

        inputs = self._tokenizer(
            list(texts),
            padding=True,
            truncation=True,
            max_length=self._longest,
            return_special_tokens_mask=True,
            return_tensors="pt",
        ).to(self._module.device)
        added = inputs.pop("special_tokens_mask").bool()
        try:
            hidden = self._module(**inputs).last_hidden_state
        except (AttributeError, TypeError, ValueError) as error:
            raise BrokenModel(
                f"--bertscore {self._folder}: {type(self._module).__name__} is no text encoder ({first_line(error)})"
            ) from error
        if not bool(torch.isfinite(hidden).all()):
            raise BrokenModel(f"--bertscore {self._folder}: its last hidden layer is not finite; the weights are damaged")
        return torch.nn.functional.normalize(hidden, dim=-1), inputs["attention_mask"].bool() & ~added


def _pairs(p: Prediction) -> list[Pair]:
    """An open answer with each that is right; none of a failed sample."""
    return [(p.answer, truth) for truth in accepted(p)] if p.form == "open" and not p.error else []


def _mean(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The mean of each row where the mask holds."""
    return (values * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)


def _loaded(folder: Path, device: str) -> tuple[Any, Any]:
    import torch
    from safetensors import SafetensorError
    from transformers import AutoModel, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    if not any(folder.glob("*.safetensors")):
        raise BrokenModel(
            f"--bertscore {folder}: it has no weights in safetensors; pickled weights (.bin, .pt) can run code and are not "
            "read: save the encoder once more with transformers' save_pretrained"
        )
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        module, report = AutoModel.from_pretrained(
            folder,
            dtype=torch.float32,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    except (OSError, ImportError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        if out_of_memory(error):
            raise
        raise BrokenModel(f"--bertscore {folder}: the encoder does not load: {first_line(error)}") from error
    # The pooler comes behind the last hidden layer; most encoders are published without it.
    lacking = sorted(key for key in report["missing_keys"] if "pooler" not in key) + sorted(map(str, report["mismatched_keys"]))
    if lacking:
        raise BrokenModel(
            f"--bertscore {folder}: it lacks {len(lacking)} weights of {type(module).__name__} (the first: {lacking[0]}); "
            "the checkpoint is incomplete or of another architecture"
        )
    if tokenizer.pad_token_id is None:
        raise BrokenModel(f"--bertscore {folder}: its tokenizer has no padding token; it belongs to no text encoder")
    return module.eval().requires_grad_(False).to(device), tokenizer
