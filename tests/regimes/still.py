"""A dual encoder whose features are given: what regimes on frozen features make of them can be written out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from medrival.contracts import DualEncoder, Features, Sample, Task

CLASSES = ("clear", "mass", "nodule")
PROMPTS = tuple(f"a scan showing {name}" for name in CLASSES)
DIM, QUERIES = 6, 2


def encoder(queries: int = QUERIES) -> DualEncoder:
    """Texts have features drawn by their words; there is no image tower."""

    def text_features(texts):
        return torch.stack([torch.randn(DIM, generator=torch.manual_seed(sum(map(ord, text)))) for text in texts])

    nothing = torch.nn.Identity()
    return DualEncoder(nothing, nothing, (), lambda _: None, lambda _: None, text_features, scale=20.0, queries=queries)


def vector(sample: Sample, queries: int = QUERIES) -> np.ndarray:
    """Its features: the class, and much noise."""
    dice = np.random.default_rng(sum(map(ord, sample.id)) + len(sample.id))
    centre = np.zeros(queries * DIM)
    if sample.truth in CLASSES:
        centre[CLASSES.index(sample.truth) :: 3] = 1.5
    return (centre + dice.normal(size=queries * DIM)).astype(np.float32)


def samples(split: str, counts: tuple[int, ...]) -> tuple[Sample, ...]:
    """So many of each class, in turn."""
    made = [(number, name) for name, count in zip(CLASSES, counts, strict=True) for number in range(count)]
    return tuple(Sample(f"{split}-{name}-{number * 7}", None, f"{number}", name) for number, name in sorted(made))


def task(train=(20, 20, 20), validation=(8, 8, 8), test=(15, 15, 15)) -> Task:
    """A diagnosis of three classes."""
    splits = (samples("train", train), samples("validation", validation), samples("test", test))
    return Task("scans", "diagnosis", *splits, "", CLASSES, PROMPTS)


@dataclass
class Bench:
    """A workbench that has the features at hand."""

    checkpoints: Path | None = None
    seed: int = 0
    seeds: tuple[int, ...] = (0,)
    device: str = "cpu"
    batch_size: int = 8
    queries: int = QUERIES
    failed: tuple[str, ...] = ()
    overflown: tuple[str, ...] = ()

    def once(self, _, work, **__):
        return work()

    def progress(self, items, _):
        return items

    def features(self, samples):
        rows = [vector(s, self.queries) if s.id not in self.failed else np.full(self.queries * DIM, np.nan) for s in samples]
        rows = [np.full_like(row, np.inf) if s.id in self.overflown else row for s, row in zip(samples, rows, strict=True)]
        return Features(np.array(rows, dtype=np.float32), {i: "cut" for i, s in enumerate(samples) if s.id in self.failed})


def labelled(bench: Bench, chosen) -> tuple[np.ndarray, np.ndarray]:
    """Features in float64, and labels."""
    return bench.features(chosen).values.astype(np.float64), np.array([CLASSES.index(s.truth) for s in chosen])


def named(of: Task, split: str, ids) -> list[Sample]:
    """The samples of a split with these ids, in their order."""
    by_id = {sample.id: sample for sample in getattr(of, split)}
    return [by_id[name] for name in ids]
