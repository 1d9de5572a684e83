"""What a row of each axis says, and what two of them are to each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from medrival.contracts import ModelType, TaskKind
from medrival.errors import UnknownName

Domain = Literal["in", "ood", "unknown"]

SCHEMES = {
    "folder": "medrival.tasks.plain:folder",
    "table": "medrival.tasks.plain:table",
    "hub": "medrival.tasks.plain:hub",
}
"""What loads a task whose row says by one word how its data lies."""

NO_KEY = {"key": False}
"""Marks a field of a card that no catalog file may set."""


@dataclass(frozen=True)
class AdapterCard:
    """What an adapter reads, where a catalog says it under `[adapters."module:function"]`; else what most read.

    Attributes:
        name: the adapter, or a glob of several.
        weights: the kinds of weight files that it reads, each by the globs of its files: the first kind that is there counts.
        needed: groups of globs of which one file each must be there besides weights, so that nothing is made up.
        folders: globs of the folders inside a model's directory that it reads too.
        parts: "module:function" that tells, without torch, what it reads of other places: `(folder) -> Iterable[Part]`
            (medrival/reads.py); "" where it reads nothing else.
        backends: "module:function" by what may run a generator in its place under --backend, such as "vllm"; a name begins
            with that of the package that it needs.
    """

    name: str = "*"
    weights: tuple[tuple[str, ...], ...] = (("*.safetensors",), ("*pytorch_model*.bin",))
    needed: tuple[tuple[str, ...], ...] = ()
    folders: tuple[str, ...] = ()
    parts: str = ""
    backends: Mapping[str, str] = field(default_factory=dict, hash=False)
    folder: str = ""


@dataclass(frozen=True)
class Piece:
    """Where some of a model's files come from, where they are not all of one hub model.

    Attributes:
        place: ORG/NAME of a hub model, datasets/ORG/NAME of a hub data set, or the https address of a file or a zip archive.
        files: which of them are read: their names, of the hub's files also globs.
    """

    place: str
    files: tuple[str, ...]

    def __str__(self) -> str:
        return f"{', '.join(self.files)} of {self.place}"


@dataclass(frozen=True)
class ModelCard:
    """A row of the model axis.

    Attributes:
        kind: "general" or "medical".
        type: what it can do: "dual-encoder", "generator", "engine" for a generator that only answers, as an inference engine
            runs it, or, behind an endpoint that does, "served".
        adapter: "module:function" that loads it.
        weights: "package:FOLDER" (shipped), a local directory, or a hub id "org/name"; the endpoint's name of a served model.
        pieces: where its files come from, where that is not the hub model that `weights` names.
        revision: a hub revision, where it is pinned.
        family: models of one family are compared with each other; `[families.NAME]` in the same file says what they share.
        partner: the model of the other kind that this one is held against; either of the two may name it.
        budget: name of the budget that regimes give it; both of a pair have the same.
        saw: modalities seen in pretraining; None where that is not known.
        lora: regular expression of the layers that LoRA adapts; "" for every linear layer of a dual encoder's image tower,
            or of a generator's language model and projector.
        parameters: in billions (1e9); 0 where that is not known.
        gated: whether its owner grants access on request, so that a hub account and its token are needed.
        image_size: pixels of the side of the square it sees, "native" where images keep their size, or "448 a tile".
        resolution: how images of other sizes are brought to it.
        padding: how it wants texts padded, where that is not to the longest: "max_length".
        prompt: how texts reach it: how long they may be, the template a question is put into.
        notes: what else to know of it.
        source: where the row's claims come from; `sources`, by key, where a claim comes from elsewhere.
        published: the model's name among the published figures (reports/published.csv), where it is one of theirs.
    """

    name: str
    kind: Literal["general", "medical"]
    type: ModelType
    adapter: str
    weights: str
    family: str
    pieces: tuple[Piece, ...] = ()
    revision: str = ""
    partner: str = ""
    budget: str = "standard"
    saw: tuple[str, ...] | None = None
    lora: str = ""
    parameters: float = 0.0
    gated: bool = False
    image_size: str = ""
    resolution: str = ""
    padding: str = ""
    prompt: str = ""
    notes: str = ""
    sources: Mapping[str, str] = field(default_factory=dict, hash=False)
    licence: str = ""
    source: str = ""
    published: str = ""
    url: str = ""
    """Base of a served model's endpoint, such as https://api.openai.com/v1; "" for that of OPENAI_BASE_URL."""
    key_variable: str = ""
    """The environment variable that holds the endpoint's key."""
    thinking: int = 0
    """Tokens that a generator or served model may think with, on top of those of its answer."""
    price_in: float = 0.0
    """What a million tokens of a prompt cost in US dollars; 0 where that is not known."""
    price_out: float = 0.0
    """The same of what a served model thinks and says."""
    folder: str = ""
    """Where the row was written: relative paths in it start there."""
    file: str = ""
    """The catalog file that has the row; "" for a model that has none."""
    reads: AdapterCard = field(default=AdapterCard(), metadata=NO_KEY)
    """What its adapter reads."""
    base: ModelCard | None = field(default=None, metadata=NO_KEY)
    """The model that a candidate's adapter directory changes."""
    places: Mapping[str, str] = field(default_factory=dict, hash=False, metadata=NO_KEY)
    """Directories of other models that its adapter reads a part of, by the names that its configuration has for them."""
    trusted: bool = field(default=False, metadata=NO_KEY)
    """Whether code that lies beside the weights may run: the user's word for this run, never a row's."""


@dataclass(frozen=True)
class TaskCard:
    """A row of the task axis; `options` are the keys that only its loader understands, one called "options" among them.

    Attributes:
        data: "module:function" that loads it; or `folder:PLACE`, `table:PLACE/FILE`, `hub:ORG/NAME` for what needs no Python.
        family: tasks of one family share what `[families.NAME]` in the same file says.
        place: where its files are: a directory, the name ORG/NAME of a hub data set, or a name that --assets has it under.
        access: the page where to get it, or where to ask for it.
        gated: whether its owner grants access on request.
        sizes: published numbers of samples, by split: "train", "validation", "test"; "all" of them together.
        findings: whether its classes are independent findings, of which an image may have several or none (diagnosis).
        test_only: why nothing may be trained on it: no regime that adapts a model is planned for it.
        redistribute: whether its licence allows passing its images on, so that a report may hold some of them; False where
            nobody knows.
        published: the data set's name among the published figures (reports/published.csv), where it is one of theirs.
    """

    name: str
    kind: TaskKind
    modality: str
    data: str
    family: str = ""
    place: str = ""
    access: str = ""
    gated: bool = False
    sizes: Mapping[str, int] = field(default_factory=dict, hash=False)
    findings: bool = False
    test_only: str = ""
    licence: str = ""
    redistribute: bool = False
    source: str = ""
    published: str = ""
    folder: str = ""
    options: Mapping[str, Any] = field(default_factory=dict, hash=False, metadata=NO_KEY)

    @property
    def loader(self) -> str:
        """The "module:function" that loads it."""
        return SCHEMES.get(self.data.partition(":")[0], self.data)

    @property
    def where(self) -> str:
        """Where its files are: what `place` says, or what stands behind the word that says how its data lies."""
        return self.place or (self.data.partition(":")[2] if self.loader != self.data else "")


@dataclass(frozen=True)
class RegimeCard:
    """A row of the regime axis.

    Attributes:
        diagnosis: "module:function" by model type, for diagnosis tasks.
        vqa: the same for question answering.
        adapts: whether it changes anything.
        seeded: whether chance plays a part in it, unless a budget says otherwise by the same key; where it does not, one seed
            is as good as another.
        shots: of a few-shot regime, how many samples a class it learns from: it is one regime for each, "NAME-SHOTS".
        findings: whether it fits independent findings, too, of which an image may have several or none.
        dtype: the precision that the regime is for, whatever the run's; "" for the run's.
        budgets: by name, the numbers both models of a pair are given; a table in one, under a type of model, is for that type.
            In a catalog file the name of another regime may stand for its numbers.
        file: the catalog file that has the row.
        budget: the one that was chosen.
        added: of budgets that other files added, the file.
    """

    name: str
    adapts: bool = True
    seeded: bool = True
    source: str = ""
    file: str = ""
    shots: tuple[int, ...] = ()
    findings: bool = False
    dtype: Literal["", "4bit"] = ""
    diagnosis: Mapping[str, str] = field(default_factory=dict, hash=False)
    vqa: Mapping[str, str] = field(default_factory=dict, hash=False)
    budgets: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, hash=False)
    budget: Mapping[str, Any] = field(default_factory=dict, hash=False)
    added: Mapping[str, str] = field(default_factory=dict, hash=False, metadata=NO_KEY)

    @property
    def adds(self) -> bool:
        """Whether the row names no function, and can only add budgets to the regime of its name."""
        return not self.diagnosis and not self.vqa

    @property
    def each(self) -> tuple[RegimeCard, ...]:
        """The regime itself, or one for each number of shots."""
        return tuple(replace(self, name=f"{self.name}-{shots}", shots=(shots,)) for shots in self.shots) or (self,)

    def given(self, budget: str, model_type: ModelType) -> RegimeCard:
        """The same regime under a budget, for a type of model; one that spends nothing, as zero-shot, has none.

        Raises:
            UnknownName: it has budgets, but none of this name, or none for this type.
        """
        if lacking := self.lacks(budget, model_type):
            raise UnknownName(lacking)
        numbers = self.budgets.get(budget, {})
        common = {key: value for key, value in numbers.items() if not isinstance(value, dict)}
        shots = {"shots": self.shots[0]} if self.shots else {}
        chosen = {**common, **numbers.get(model_type, {}), **shots}
        return replace(self, seeded=chosen.pop("seeded", self.seeded), budget=chosen)

    def lacks(self, budget: str, model_type: ModelType | None = None) -> str:
        """That it has budgets, but none of this name, or none for the type, in words; "" where there is one, or none needed."""
        if not self.budgets:
            return ""
        if budget not in self.budgets:
            return f"regime {self.name!r} has no budget {budget!r}; it has {', '.join(self.budgets)}"
        numbers = self.budgets[budget]
        if not numbers or not model_type or model_type in numbers or not all(isinstance(one, dict) for one in numbers.values()):
            return ""
        return f"regime {self.name!r} has its budget {budget!r} for {', '.join(numbers)} alone, and none for a {model_type}"

    def runner(self, task: TaskCard, model: ModelCard) -> str | None:
        """The "module:function" that adapts this model to this task, or None where that makes no sense."""
        if (self.adapts and task.test_only) or (task.findings and not self.findings):
            return None
        runners = self.diagnosis if task.kind == "diagnosis" else self.vqa
        return runners.get(model.type)


@dataclass(frozen=True)
class SuiteCard:
    """A named selection; names may be globs.

    Attributes:
        margin: absolute difference in a pair's metric that counts as none.
    """

    name: str
    models: tuple[str, ...]
    tasks: tuple[str, ...]
    regimes: tuple[str, ...]
    margin: float = 0.05
    folder: str = ""


MIXED = "mixed medicine"
"""The modality of a task that is of several: a medical model has seen some of it, nobody says how much."""


def domain(model: ModelCard, task: TaskCard) -> Domain:
    """Whether the model's pretraining saw the task's modality."""
    if model.saw is None or (task.modality == MIXED and model.kind == "medical" and MIXED not in model.saw):
        return "unknown"
    return "in" if task.modality in model.saw else "ood"


def partners(one: ModelCard, other: ModelCard) -> bool:
    """Whether two models are held against each other."""
    return one.partner == other.name or other.partner == one.name
