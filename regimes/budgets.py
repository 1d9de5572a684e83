"""What each function that adapts a model reads of its budget: keys, and the type of each. It needs no torch."""

# Without `annotations` from `__future__`: a TypedDict could not tell the keys that may be missing (NotRequired).

from collections.abc import Mapping
from typing import Literal, NotRequired, TypedDict


class Nothing(TypedDict):
    """It spends nothing."""


class Ensemble(TypedDict):
    """See `zero_shot.classify_by_ensembles`."""

    templates: tuple[str, ...]


class Thoughts(TypedDict):
    """See `chain_of_thought`."""

    thought_tokens: int


class Probe(TypedDict):
    """See `linear_probe.fit_probe`."""

    l2_strengths: tuple[float, ...]


class Grid(TypedDict):
    """See `tip_adapter`."""

    alphas: tuple[float, ...]
    betas: tuple[float, ...]


class Training(TypedDict):
    """See `training.train`; of the two keys of learning rates there is one."""

    epochs: int
    batch_size: int
    weight_decay: float
    warmup: float
    max_grad_norm: float
    learning_rate: NotRequired[float]
    learning_rates: NotRequired[tuple[float, ...]]
    schedule: NotRequired[Literal["cosine", "linear"]]
    accumulate: NotRequired[int]
    patience: NotRequired[int]
    keep: NotRequired[Literal["best", "last"]]


class TrainingFromProbe(Training, Probe):
    """Training with a head that starts as the linear probe."""


class Bottleneck(Training):
    """See `clip_adapter`."""

    reduction: int
    ratio: float


class LowRank(Training):
    """See `adapters.insert`."""

    rank: int
    alpha: int
    dropout: NotRequired[float]


class LowRankFromProbe(LowRank, Probe):
    """Adapters beside a head that starts as the linear probe."""


class Taught(Training):
    """Training of a generator, whose samples have lengths."""

    grouped: NotRequired[bool]


class TaughtLowRank(LowRank, Taught):
    """Adapters in a generator."""


READ: Mapping[str, tuple[type, ...]] = {
    "medrival.regimes.zero_shot:classify": (Nothing,),
    "medrival.regimes.zero_shot:choose": (Nothing,),
    "medrival.regimes.zero_shot:answer": (Nothing,),
    "medrival.regimes.zero_shot:ask": (Nothing,),
    "medrival.regimes.zero_shot:classify_by_ensembles": (Ensemble,),
    "medrival.regimes.chain_of_thought:answer": (Thoughts,),
    "medrival.regimes.chain_of_thought:ask": (Thoughts,),
    "medrival.regimes.in_context:answer": (Nothing,),
    "medrival.regimes.linear_probe:linear_probe": (Probe, Training),
    "medrival.regimes.few_shot:by_probe": (Probe,),
    "medrival.regimes.few_shot:by_mean": (Nothing,),
    "medrival.regimes.tip_adapter:tip_adapter": (Grid,),
    "medrival.regimes.clip_adapter:clip_adapter": (Bottleneck,),
    "medrival.regimes.lora:image_tower": (LowRankFromProbe,),
    "medrival.regimes.lora:against_prompts": (LowRank,),
    "medrival.regimes.lora:both_towers": (LowRank,),
    "medrival.regimes.full:image_side": (TrainingFromProbe,),
    "medrival.regimes.taught:lora": (TaughtLowRank,),
    "medrival.regimes.taught:lora_language": (TaughtLowRank,),
    "medrival.regimes.taught:lora_vision": (TaughtLowRank,),
    "medrival.regimes.taught:projector": (Taught,),
    "medrival.regimes.taught:full": (Taught,),
}
"""By "module:function" what it reads, or one or the other. What functions of other packages read is not known."""

ONE_OF = ("learning_rate", "learning_rates")
"""Keys of which there is exactly one, where a function reads them."""
