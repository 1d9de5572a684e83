"""The rows with which the page of data sets and the README begin are tasks, on data as they describe it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from PIL import Image as PILImage

from medrival import catalog

ROOT = Path(__file__).parents[2]


def rows(page: str) -> str:
    """Its first block of TOML that has tasks."""
    blocks = re.findall(r"```toml\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), flags=re.S)
    return next(block for block in blocks if "[tasks." in block)


@pytest.fixture
def load(tmp_path):
    for i in range(20):
        for folder in ("lumps/benign", "lumps/malignant", "lesions", "asked"):
            (tmp_path / folder).mkdir(parents=True, exist_ok=True)
            PILImage.new("RGB", (4, 4), (i, len(folder), 0)).save(tmp_path / folder / f"{i}.png")
    lesions = [f"{i}.png,{'dangerous' if i % 2 else 'harmless'}\n" for i in range(20)]
    (tmp_path / "lesions" / "labels.csv").write_text("image,label\n" + "".join(lesions))
    asked = [f"{i}.png,Which?,B,CT,MR,X-ray,\n" for i in range(20)]
    (tmp_path / "asked" / "questions.csv").write_text("image,question,answer,A,B,C,D\n" + "".join(asked))

    def of(page, name):
        (tmp_path / "my.toml").write_text(rows(page))
        card = catalog.load([tmp_path / "my.toml"]).tasks[name]
        return catalog.imported(card.loader)(card, None, tmp_path)

    return of


@pytest.mark.parametrize(
    ("page", "name", "classes"),
    [
        ("README.md", "lumps", ("benign", "malignant")),
        ("docs/data.md", "lumps", ("benign", "malignant")),
        ("docs/data.md", "lesions", ("harmless", "dangerous")),
        ("docs/data.md", "asked", ()),
    ],
)
def test_a_row_of_the_page_is_a_task(load, page, name, classes):
    task = load(page, name)
    assert task.classes == classes
    assert all((task.train, task.validation, task.test))
    assert name != "asked" or {(s.options, s.truth) for s in task.test} == {(("CT", "MR", "X-ray"), "MR")}
