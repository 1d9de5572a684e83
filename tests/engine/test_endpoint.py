"""Where a served model is asked, and which key goes there."""

from __future__ import annotations

import pytest

from medrival.catalog import ModelCard
from medrival.endpoint import Endpoint, endpoint
from medrival.errors import BrokenCatalog, MedrivalError, MissingAsset

BASE, KEY = {"OPENAI_BASE_URL": "http://localhost:1/v1/"}, {"OPENAI_API_KEY": "sk-openai"}


def row(**more) -> ModelCard:
    return ModelCard("far", "general", "served", "medrival.models.served:openai", "gpt", "gpt", **more)


@pytest.mark.parametrize(
    ("more", "environment", "expected"),
    [
        ({}, BASE, ("http://localhost:1/v1", "")),
        ({}, BASE | KEY, ("http://localhost:1/v1", "sk-openai")),
        ({"key_variable": "OWN"}, BASE | KEY | {"OWN": " sk-own\n"}, ("http://localhost:1/v1", "sk-own")),
        ({"url": "https://own/v1", "key_variable": "OWN"}, BASE | KEY | {"OWN": "sk-own"}, ("https://own/v1", "sk-own")),
        ({"url": "https://own/v1"}, BASE | KEY, ("https://own/v1", "")),
    ],
)
def test_the_row_comes_first_and_a_key_goes_only_where_it_is_meant_to(more, environment, expected):
    assert endpoint(row(**more), environment) == Endpoint(*expected)


@pytest.mark.parametrize(
    ("more", "environment", "error", "message"),
    [
        ({}, KEY, MissingAsset, "far: nobody serves it; set OPENAI_BASE_URL"),
        ({"url": "https://own/v1", "key_variable": "OWN"}, KEY, MissingAsset, "far: https://own/v1 needs a key; set OWN"),
        ({"url": "own/v1"}, {}, MedrivalError, "far: url own/v1: it must be the base of an endpoint"),
        ({}, {"OPENAI_BASE_URL": "http://me:hunter2@own"}, MedrivalError, "far: OPENAI_BASE_URL: .* set OPENAI_API_KEY"),
        ({"key_variable": "sk-proj-hunter2"}, BASE, BrokenCatalog, "far: key_variable must be the name of an environment"),
        ({"key_variable": "OWN"}, BASE | {"OWN": "hunter2 \u00e9"}, MedrivalError, "OWN: the key holds characters"),
    ],
)
def test_what_is_missing_or_wrong_is_named_and_no_key_is_shown(more, environment, error, message):
    with pytest.raises(error, match=message) as raised:
        endpoint(row(**more), environment)
    assert "hunter2" not in str(raised.value)


def test_a_key_is_in_no_repr():
    assert "sk-openai" not in repr(endpoint(row(), BASE | KEY))
