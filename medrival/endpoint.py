"""Where a served model is asked, and with which key: as its row says, or where OpenAI's own clients look."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from medrival.catalog import ModelCard
from medrival.chat import check_url, checked_key
from medrival.errors import BrokenCatalog, MissingAsset

BASE, KEY = "OPENAI_BASE_URL", "OPENAI_API_KEY"


@dataclass(frozen=True)
class Endpoint:
    """Base URL and key; a key is never shown."""

    url: str
    key: str = field(default="", repr=False)


def endpoint(card: ModelCard, environment: Mapping[str, str] = os.environ) -> Endpoint:
    """The endpoint of a served model's row.

    A row without `url` is asked at OPENAI_BASE_URL, with the key in OPENAI_API_KEY if there is one. A row's own `url` gets only
    the key that its `key_variable` names: a catalog must not send a key where it was not meant to go.

    Raises:
        MissingAsset: the environment has no URL, or not the key that the row names.
        BrokenCatalog: `key_variable` is no name of an environment variable.
        MedrivalError: the URL is none or holds a key, or the key cannot be sent.
    """
    if card.key_variable and not re.fullmatch("[A-Z][A-Z0-9_]*", card.key_variable):
        raise BrokenCatalog(f"{card.name}: key_variable must be the name of an environment variable, in capitals, not the key")
    variable = card.key_variable or ("" if card.url else KEY)
    url = card.url or environment.get(BASE, "").strip()
    if not url:
        raise MissingAsset(
            f"{card.name}: nobody serves it; set {BASE} to the base of its endpoint, such as http://localhost:8000/v1"
        )
    check_url(f"{card.name}: {'url' if card.url else BASE}", url, variable or "key_variable in its row")
    key = checked_key(variable, environment.get(variable, ""))
    if card.key_variable and not key:
        raise MissingAsset(f"{card.name}: {url} needs a key; set {card.key_variable}")
    return Endpoint(url.rstrip("/"), key)
