"""From what a data set's own files say to a task: one decorator does all that is the same for every data set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import wraps
from pathlib import Path, PurePosixPath
from typing import Any, Protocol
from unicodedata import normalize

from medrival.catalog import TaskCard
from medrival.contracts import Form, Image, Loader, Sample, Task
from medrival.errors import BrokenCatalog, BrokenData
from medrival.tasks import splits
from medrival.tasks.ages import IMPOSSIBLE, UNKNOWN
from medrival.tasks.files import Files
from medrival.tasks.images import ImageFile, fingerprint, read_digests
from medrival.tasks.prompts import ask
from medrival.tasks.splits import Manifest
from medrival.tasks.splitting import OFFICIAL, check_uses, cut
from medrival.tasks.wording import Texts, class_texts

KEYS: Mapping[str, tuple[type, ...]] = {
    "classes": (list, dict),
    "prompt": (str,),
    "templates": (list,),
    "only": (dict,),
    "split": (str,),
    "splits": (dict,),
    "shares": (dict,),
    "folds": (dict,),
    "manifest": (str,),
    "files": (list, dict),
    "revision": (str,),
}
"""What the row of any data set may say."""
TYPES = {"list": "a list", "dict": "a table", "str": "a text"}
SUFFIXES = {
    *(".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".dib", ".gif", ".tif", ".tiff", ".webp", ".dcm", ".dicom"),
    *(".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx", ".pbm", ".pgm", ".ppm", ".pnm", ".pfm"),
}
"""Of image files of every format that is decoded."""


@dataclass(frozen=True)
class Example:
    """What a data set says of one of its samples.

    Attributes:
        id: unique within the data set.
        images: one, or several of a question about several.
        truth: the class (several joined by "|" where the form is "findings"), or the answer.
        split: as the data set calls it; "" where it has no splits.
        group: the patient, or what else `dataset` says of `groups`; "" where that is not known, and equal images are a group.
        listed: whether the question itself lists its options already.
        attributes: subgroups such as {"sex": "female"}, and what a row's `only` can choose by.
        classes: all classes in the data set's own order, where it has one.
        where: file and row of a table, for messages.
    """

    id: str
    images: tuple[Image, ...]
    truth: str
    split: str = ""
    group: str = ""
    question: str = ""
    form: Form = "label"
    options: tuple[str, ...] = ()
    listed: bool = False
    skill: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)
    classes: Sequence[str] = ()
    where: str = ""

    @property
    def shown(self) -> str:
        """What messages call it."""
        return f"{self.where}: sample {self.id!r}" if self.where else f"sample {self.id!r}"


class Source(Protocol):
    """Where a data set is read from."""

    @property
    def revision(self) -> str:
        """The hub's commit, or "" where that is not known."""


Read = Callable[[TaskCard, Any], Iterable[Example]]


def dataset(
    *keys: str,
    source: Callable[[TaskCard, Path | None, Path], Source] = Files.of,
    groups: str = "patient",
    among: Callable[[Any], Iterable[str]] = lambda _: (),
) -> Callable[[Read], Loader]:
    """Make a loader of a function that yields a data set's examples.

    The row may say of any data set:

    - `classes`: the classes of a diagnosis in label order, the positive one of two last, as a list, or as a table that says
      how the prompt calls each.
    - `prompt`: of each class, with {} in the class's place; `templates`: further texts of that kind, for prompt ensembles.
    - `only`: which examples: by form, skill, truth or attribute, such as `only = { form = "closed" }`.
    - `splits`: what a split is used as, such as `splits = { validation = "test" }`; one that is not used is "".
    - `split = "made"`: cut anew, whatever the data set says; `shares`: of each class's groups, for test and validation.
    - `folds = { of = 5, fold = 0, seed = 42 }`: one fold of the examples is the test.
    - `manifest`: a file with the split, relative to the row's.
    - `files` and `revision`: of a repository of the hub, what is read of it, as globs, and the commit that is asked for.

    Args:
        keys: what else the row may say to this loader.
        source: what it reads from; its files by default.
        groups: what the examples' `group` names, for the record: such as the article that a figure is from.
        among: the source's files of which each should be an image of some example; those that are none are counted.
    """

    def made(read: Read) -> Loader:
        @wraps(read)
        def load(card: TaskCard, assets: Path | None, cache: Path) -> Task:
            _check_keys(card, keys)
            found = source(card, assets, cache)
            return assembled(card, read(card, found), cache, found.revision, groups, among(found))

        return load

    return made


def assembled(
    card: TaskCard,
    examples: Iterable[Example],
    cache: Path,
    revision: str = "",
    groups: str = "patient",
    among: Iterable[str] = (),
) -> Task:
    """The task that a row and its data set's examples make; a split that was made is written into the cache.

    Raises:
        BrokenData: an id is there twice, a truth is no class, nothing is left to test on, or the manifest is of other data.
        BrokenCatalog: the row says what cannot be.
    """
    told = list(examples)
    everything = list(map(_with_human_age, told))
    check_uses(card, {example.split for example in everything})
    chosen = [example for example in everything if _wanted(card, example)]
    if not chosen:
        why = f"only = {dict(card.options['only'])!r} leaves none of {len(everything)}" if everything else "its data has none"
        raise BrokenData(f"{card.name}: the test split is empty, for there are no samples: {why}")
    _refuse_twice(card, chosen)
    classes = _classes(card, chosen)
    read_digests((image for example in chosen for image in example.images), cache)
    samples = [_sample(card, example) for example in chosen]
    shown = {example.id: example.shown for example in chosen}
    split_of, rule = cut(card, samples, {example.id: example.split for example in chosen if example.split}, shown)
    parts = [tuple(sample for sample in samples if split_of.get(sample.id) == name) for name in splits.SPLITS]
    train, validation, test = parts
    if not test:
        count = len({sample.group for sample in samples})
        way = 'the row can cut one by split = "made", or say by `splits` which split is the test'
        raise BrokenData(
            f"{card.name}: the test split is empty: none of {len(samples)} samples is for it; "
            + (way if rule.startswith(OFFICIAL) else f"there are too few to cut one from: {count} patients or images")
        )
    manifest = Manifest(card.name, rule, split_of)
    notes = {"split": rule, "split_sha256": manifest.sha256, "groups": _groups(chosen, groups), **_without_sample(everything)}
    notes |= {"revision": revision} if revision else {}
    others = _others(everything, among)
    notes |= {"files_without_sample": others} if others else {}
    impossible = sum(example.attributes.get("age") == IMPOSSIBLE for example in told)
    notes |= {"impossible_ages": impossible} if impossible else {}
    if rule != OFFICIAL and "manifest" not in card.options:
        manifest.write(cache / "splits" / f"{card.name}-{manifest.sha256[:12]}.json")
    texts = class_texts(card, classes.values()) if card.kind == "diagnosis" else Texts(())
    return Task(
        card.name,
        card.kind,
        train,
        validation,
        test,
        fingerprint=fingerprint(parts, *classes, *texts.parts),
        classes=tuple(classes),
        prompts=texts.prompts,
        notes=notes,
        ensembles=texts.ensembles,
    )


def _check_keys(card: TaskCard, keys: Sequence[str]) -> None:
    for key, value in card.options.items():
        if key not in (*KEYS, *keys):
            raise BrokenCatalog(
                f"task {card.name!r} has an unknown key {key!r}; it may have {', '.join(sorted({*KEYS, *keys}))}"
            )
        if key == "split" and key not in keys and value != "made":
            raise BrokenCatalog(
                f'task {card.name!r}: split is {value!r}; it must be "made", for its data has no column of that'
            )
        if key not in keys and not isinstance(value, KEYS[key]):
            wanted = " or ".join(TYPES[one.__name__] for one in KEYS[key])
            raise BrokenCatalog(f"task {card.name!r}: {key} is {value!r}; it must be {wanted}")


def _with_human_age(example: Example) -> Example:
    if example.attributes.get("age") != IMPOSSIBLE:
        return example
    return replace(example, attributes={**example.attributes, "age": UNKNOWN})


def _without_sample(examples: Sequence[Example]) -> dict[str, Any]:
    """How many image files lie beside those of the examples, and how many of them no example shows."""
    files = {image.path for example in examples for image in example.images if isinstance(image, ImageFile)}
    folders = {path.parent for path in files}
    there = {path for folder in folders if folder.is_dir() for path in folder.iterdir() if path.suffix.lower() in SUFFIXES}
    return {"image_files": len(there), "image_files_without_sample": len(there - files)} if files else {}


def _others(examples: Sequence[Example], among: Iterable[str]) -> dict[str, int]:
    """How many of some files no example shows, by suffix."""
    shown = {image.name for example in examples for image in example.images if isinstance(image, ImageFile)}
    suffixes = Counter(PurePosixPath(name).suffix.lower() or "no suffix" for name in among if name not in shown)
    return dict(sorted(suffixes.items()))


def _groups(examples: Sequence[Example], called: str) -> str:
    """What splits keep together: what `group` names, and the image where it names nothing."""
    return " or ".join(sorted({called if example.group else "image" for example in examples}, key="image".__eq__))


def _wanted(card: TaskCard, example: Example) -> bool:
    known = {**example.attributes, "form": example.form, "skill": example.skill, "truth": example.truth}
    asked = card.options.get("only", {})
    if strange := sorted(set(asked) - set(known)):
        raise BrokenCatalog(f"task {card.name!r}: only = {{ {strange[0]} = ... }}: its examples have {', '.join(known)}")
    return all(known[key] in (value if isinstance(value, list) else [value]) for key, value in asked.items())


def _refuse_twice(card: TaskCard, examples: Sequence[Example]) -> None:
    (name, count), *_ = Counter(example.id for example in examples).most_common(1)
    if count > 1:
        first, second, *_ = (example.where or "a file" for example in examples if example.id == name)
        raise BrokenData(f"{card.name}: {count} samples have the id {name!r}: {first}, {second}")


def _classes(card: TaskCard, examples: Sequence[Example]) -> dict[str, str]:
    """The classes in label order, and the words a prompt has for each."""
    if card.kind != "diagnosis":
        return {}
    if several := [example for example in examples if example.form == "label" and "|" in example.truth]:
        raise BrokenData(f'{card.name}: {several[0].shown}: its class is {several[0].truth!r}; the name of one has no "|"')
    truths = {truth for example in examples for truth in example.truth.split("|") if truth}
    own = list(examples[0].classes)
    found = [*(name for name in own if name in truths), *sorted(truths.difference(own))]
    said = card.options.get("classes", found)
    if "classes" not in card.options and (same := _alike(found)):
        raise BrokenData(
            f"{card.name}: its classes {same[0]!r} and {same[1]!r} differ in case, white space or the encoding of accents "
            "alone; call them alike, or list both in the row's `classes` where they are two"
        )
    if isinstance(said, list) and all(type(name) in (str, int, float) for name in said):
        said = {str(name): str(name).replace("_", " ") for name in said}
    if not isinstance(said, dict) or not all(isinstance(words, str) for words in said.values()):
        raise BrokenCatalog(f"task {card.name!r}: classes is {said!r}; it must be a list of names, or a table of words by name")
    if strange := [truth for truth in found if truth not in said]:
        first = next(example for example in examples if strange[0] in example.truth.split("|"))
        raise BrokenData(f"{card.name}: {first.shown}: {strange[0]!r} is none of its classes, which are {', '.join(said)}")
    if len(said) < 2:
        raise BrokenData(f"{card.name}: a diagnosis needs two classes or more; there is {', '.join(said) or 'none'}")
    return said


def _alike(names: Sequence[str]) -> tuple[str, str] | None:
    """Two names that a reader would take for one, or None."""
    seen: dict[str, str] = {}
    for name in names:
        first = seen.setdefault(normalize("NFC", " ".join(name.casefold().split())), name)
        if first is not name:
            return first, name
    return None


def _sample(card: TaskCard, example: Example) -> Sample:
    first, *more = example.images
    # A closed question beyond yes and no, whose words are not listed, is asked like an open one.
    form = "open" if example.form == "closed" and not example.options else example.form
    try:
        prompt = ask(form, example.question, example.options, listed=example.listed) if example.question else ""
    except ValueError as error:
        raise BrokenData(f"{card.name}: sample {example.id!r}: {error}") from error
    return Sample(
        id=example.id,
        image=first,
        group=example.group or first.digest[:16],
        truth=example.truth,
        prompt=prompt,
        question=example.question,
        form=example.form,
        options=example.options,
        skill=example.skill,
        attributes=example.attributes,
        more_images=tuple(more),
    )
