"""What is wrong with a row of a catalog whose every key has a value of the right type, and what a wrong name may have meant."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

from medrival.cards import AdapterCard, ModelCard, Piece

NAMED = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?", re.ASCII)
"""A plain name or ORG/NAME: put behind a folder, it is of something in it."""
OF_SERVED = ("url", "key_variable", "price_in", "price_out")
"""What only a model behind an endpoint has."""


def names(given: str) -> tuple[str, ...]:
    """Those of a list with commas."""
    return tuple(name.strip() for name in given.split(",") if name.strip())


def complaint(card: Any) -> str:
    """Key, value and what it must be, as a sentence; "" for a row that makes sense."""
    return next(iter(COMPLAINTS.get(type(card), lambda _: ())(card)), "")


def hint(name: str, known: Iterable[str], most: int = 3) -> str:
    """The known words that are nearest to a name, as a question; "" where none is near."""
    spelt = {one.casefold(): one for one in known}
    near = [spelt[one] for one in difflib.get_close_matches(name.casefold().strip("*?"), spelt, n=most, cutoff=0.5)]
    return f" Did you mean {' or '.join(repr(n) for n in near)}?" if near else ""


def _of_model(card: ModelCard) -> Iterator[str]:
    if not card.weights.rpartition(":")[2].strip():
        yield f"weights is {card.weights!r}; it must name the model"
    if card.pieces and not NAMED.fullmatch(card.weights):
        yield f"weights is {card.weights!r}; of pieces it must be the plain name or ORG/NAME that --assets has them under"
    if card.type != "served":
        yield from (f"{key} is {getattr(card, key)!r}; only a served model has one" for key in OF_SERVED if getattr(card, key))
    if card.type == "dual-encoder" and card.thinking:
        yield f"thinking is {card.thinking}; a dual encoder gives no words, and thinks no tokens"


def _of_piece(piece: Piece) -> Iterator[str]:
    if not piece.files:
        yield "files is []; it must name what is read"
    for name in piece.files:
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            yield f"files has {name!r}, which leads out of the model's directory"
    scheme, apart, _ = piece.place.partition("://")
    if apart and scheme != "https":
        yield f"place is {piece.place!r}; only https addresses are fetched"


def _of_adapter(card: AdapterCard) -> Iterator[str]:
    for name, place in card.backends.items():
        if not isinstance(place, str) or not all(place.partition(":")):
            yield f'backends has {name} = {place!r}; it must be "module:function"'


COMPLAINTS: Mapping[type[Any], Callable[[Any], Iterable[str]]] = {
    ModelCard: _of_model,
    Piece: _of_piece,
    AdapterCard: _of_adapter,
}
