"""Where the `datasets` library keeps what it reads, for the tests that let it."""

from __future__ import annotations

import pytest


@pytest.fixture
def library(tmp_path_factory, monkeypatch):
    """A cache of the library's own for a test, and no hub: what it finds is on this machine."""
    import datasets

    folder = tmp_path_factory.mktemp("library")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", folder)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(folder / "hub"))
    return folder
