"""Lets `pytest benchmarks` and `pytest tests` run from a checkout."""

import importlib.util

import pytest

if importlib.util.find_spec("medrival") is None or importlib.util.find_spec("medrival.tasks") is None:
    raise pytest.UsageError("medrival is not installed in this Python; run `make bench`, or `pip install -e .` in this folder")

pytest_plugins = ["medrival.plugin"]
