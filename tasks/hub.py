"""Data sets of the hub by the `datasets` library: their splits and rows, with images that are read when they are looked at.

The library runs no code that lies in a data set (4.0 and later). What it keeps is memory-mapped, so that a table of images
costs no memory; what does not fit on the disk is streamed.
"""

from __future__ import annotations

import shutil
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from medrival.catalog import TaskCard
from medrival.contracts import Image
from medrival.errors import BrokenCatalog, BrokenData, MissingAsset, first_line
from medrival.tasks.images import Cell, ImageFile, inside
from medrival.tasks.places import local, refused, revision
from medrival.tasks.tables import Record

if TYPE_CHECKING:
    from datasets import ClassLabel, Dataset, DatasetBuilder, IterableDataset

TEXTS = {"keep_default_na": False, "na_values": [""]}
"""Of CSV files: "NA", "nan" and "None" are texts, such as a class; only an empty cell is none."""
NEAR = 64
"""Rows of a stream that are kept, for readers that are a batch apart."""


@dataclass(frozen=True)
class Repository:
    """A data set of the hub.

    Attributes:
        card: the task's row. Its `config` names one of several tables, its `files` say what is read, by split.
        place: the folder that mirrors it, or ORG/NAME of what the library has in its cache or gets from the hub.
        revision: the commit, or "" where that is not known.
        assets: the folder of --assets, for messages.
    """

    card: TaskCard
    place: str
    revision: str = ""
    assets: Path | None = None

    @classmethod
    def of(cls, card: TaskCard, assets: Path | None, _: Path) -> Repository:
        """Look for a mirror where `Files` are looked for.

        Raises:
            MissingAsset: the row does not say where.
            BrokenData: the mirror is of another revision than the row names.
            BrokenCatalog: there is no mirror, and the row names no data set of the hub.
        """
        if folder := local(card, assets):
            return cls(card, str(folder.absolute()), revision(folder), assets)
        if card.where.count("/") != 1:
            raise BrokenCatalog(f"task {card.name!r}: {card.where!r} is no data set of the hub: these are called ORG/NAME")
        return cls(card, card.where, card.options.get("revision", ""), assets)

    def records(self) -> Iterator[Record]:
        """The rows of all splits: texts, numbers, the names of labels, images; and the split, unless a column has that name.

        Raises:
            MissingAsset: there is no mirror, it is in no cache, and the hub did not give it; with what to do.
            BrokenData: the mirror is no data set that the library reads, or its sizes are not those that it states.
        """
        try:
            builder = self._builder()
            streamed = self.card.options.get("streaming", False) or _too_large(builder)
            if not streamed:
                builder.download_and_prepare()
            tables = builder.as_streaming_dataset() if streamed else builder.as_dataset()
        except Exception as error:  # the library raises errors of several others
            raise self._failure(error) from error
        for split, table in tables.items():
            shown = f"{self.card.where} {split}"
            yield from _streamed(table, shown, str(split)) if streamed else _kept(table, shown, str(split), self._roots())

    def _builder(self) -> DatasetBuilder:
        from datasets import load_dataset_builder

        name, files = self.card.options.get("config"), self.card.options.get("files")
        mirror = self.place != self.card.where
        # By its bare name the library would take a folder of that name in the current directory for it.
        place, revision = (self.place, None) if mirror else (f"hf://datasets/{self.place}", self.revision or None)
        build = partial(load_dataset_builder, place, name, data_files=files, revision=revision)
        builder = build()
        return build(**TEXTS) if hasattr(builder.config, "keep_default_na") else builder

    def _roots(self) -> tuple[Path, ...]:
        """Where image files that a table names may lie: in its mirror, or where the libraries keep what they got."""
        from datasets import config
        from huggingface_hub import constants

        mirror = () if self.place == self.card.where else (self.place,)
        return tuple(map(Path, (*mirror, constants.HF_HUB_CACHE, config.HF_DATASETS_CACHE)))

    def _failure(self, error: Exception) -> BrokenData | MissingAsset:
        if self.place != self.card.where:
            return BrokenData(f"{self.card.name}: {self.place} is no readable data set: {first_line(error)}")
        return refused(self.card, self.assets, error)


class Stream:
    """The rows of a table that is not kept on disk: read in order, and from the start again for one that has passed.

    Safe to share between threads; another process begins at the start.
    """

    def __init__(self, table: IterableDataset, shown: str) -> None:
        self._table, self._shown, self._lock = table, shown, Lock()
        self._restart()

    def __getitem__(self, row: int) -> Mapping[str, Any]:
        """One row.

        Raises:
            IndexError: there are not so many.
            BrokenData: it did not come through.
        """
        with self._lock:
            if row < self._next and row not in self._near:
                self._restart()
            while self._next <= row:
                self._advance()
            return self._near[row]

    def __reduce__(self) -> tuple[type[Stream], tuple[IterableDataset, str]]:
        return Stream, (self._table, self._shown)

    def _restart(self) -> None:
        self._next, self._rows = 0, iter(self._table)
        self._near: OrderedDict[int, Mapping[str, Any]] = OrderedDict()

    def _advance(self) -> None:
        try:
            self._near[self._next] = next(self._rows)
        except StopIteration:
            raise IndexError(f"there is no row {self._next}") from None
        except Exception as error:  # of the library, the hub client or the decoder of tables
            row = self._next
            self._restart()
            raise BrokenData(f"{self._shown}: row {row} cannot be read: {first_line(error)}") from error
        self._next += 1
        if len(self._near) > NEAR:
            self._near.popitem(last=False)


def _kept(table: Dataset, shown: str, split: str, roots: Sequence[Path]) -> Iterator[Record]:
    """The rows of a table on disk; of its images nothing but where they are is read."""
    table, pictured = _encoded(table)
    images = {column: _images(table.select_columns([column]), column, shown, roots) for column in pictured}
    labels = _labels(table)
    names = {column: feature.names for column, feature in labels.items()}
    for row, said in enumerate(table.remove_columns(pictured)):
        values = {"split": split, **_named(said, labels), **{column: images[column][row] for column in pictured}}
        yield Record(f"{shown}: row {row}", values, names)


def _images(table: Dataset, column: str, shown: str, roots: Sequence[Path]) -> list[Image | None]:
    """The images of a column: of its bytes, or of files that it names; None where a cell is empty."""
    import pyarrow.compute as compute

    cells = table.data.column(column)
    there, paths = cells.is_valid().to_pylist(), [None] * len(table)
    if "path" in {field.name for field in getattr(cells.type, "fields", ())}:
        held = compute.struct_field(cells, "bytes").is_valid()
        paths = compute.if_else(held, None, compute.struct_field(cells, "path")).to_pylist()
    return [
        None if not full else _file(path, roots) if path else Cell(table, row, column, shown)
        for row, (full, path) in enumerate(zip(there, paths, strict=True))
    ]


def _file(path: str, roots: Sequence[Path]) -> ImageFile:
    root = next((root for root in roots if Path(path).is_relative_to(root)), roots[0])
    return ImageFile(inside(root, path), root)


def _streamed(table: IterableDataset, shown: str, split: str) -> Iterator[Record]:
    """The rows of a table as they pass; an image is hashed while it is at hand and read again when it is looked at."""
    table, pictured = _encoded(table)
    stream, labels, row = Stream(table, shown), _labels(table), 0
    names = {column: feature.names for column, feature in labels.items()}
    while True:
        try:
            found = stream[row]
        except IndexError:
            return
        cells = {column: None if found[column] is None else Cell(stream, row, column, shown) for column in pictured}
        for cell in cells.values():
            _ = cell and cell.digest
        said = {column: value for column, value in found.items() if column not in cells}
        yield Record(f"{shown}: row {row}", {"split": split, **_named(said, labels), **cells}, names)
        row += 1


def _encoded(table: Any) -> tuple[Any, list[str]]:
    """The table with images as they are encoded, and the columns that hold them."""
    from datasets import Image as Picture
    from datasets import Value

    pictured = []
    for column, feature in (table.features or {}).items():
        if isinstance(feature, Picture):
            table = table.cast_column(column, Picture(decode=False))
        if isinstance(feature, Picture) or feature == Value("binary") or (isinstance(feature, dict) and "bytes" in feature):
            pictured.append(column)
    return table, pictured


def _labels(table: Dataset | IterableDataset) -> Mapping[str, ClassLabel]:
    """The columns of numbers that have names."""
    from datasets import ClassLabel

    return {column: feature for column, feature in (table.features or {}).items() if isinstance(feature, ClassLabel)}


def _named(values: Mapping[str, Any], labels: Mapping[str, ClassLabel]) -> Mapping[str, Any]:
    """The row with the names of its labels in the place of their numbers; a number below 0 is none."""
    numbers = {column: values[column] for column in labels}
    named = {column: labels[column].int2str(one) for column, one in numbers.items() if one is not None and one >= 0}
    return {**values, **dict.fromkeys(labels), **named}


def _too_large(builder: DatasetBuilder) -> bool:
    """Whether what the library would download and keep exceeds the free disk, by the sizes that the data set states."""
    if Path(builder.cache_dir).exists():
        return False
    needed = (builder.info.download_size or 0) + (builder.info.dataset_size or 0)
    return needed > shutil.disk_usage(builder._cache_dir_root).free
