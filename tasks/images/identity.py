"""What a task's samples are, in one hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

from medrival.contracts import Sample


def fingerprint(splits: Sequence[Sequence[Sample]], *texts: str) -> str:
    """Sha256 over a task's samples (order, split, questions, truth and the bytes of their images) and further texts."""
    described = [
        [split, [image.digest for image in sample.images], *(told for key, told in vars(sample).items() if "image" not in key)]
        for split, samples in enumerate(splits)
        for sample in samples
    ]
    return hashlib.sha256(json.dumps([described, texts], sort_keys=True).encode()).hexdigest()
