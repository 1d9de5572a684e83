"""The catalog's rows are short; their numbers of samples are published, by the sources in published_sizes.csv."""

from __future__ import annotations

import csv
import re
import sys
from collections import defaultdict
from pathlib import Path

from medrival.catalog import load

sys.path.insert(0, str(Path(__file__).parent))
from replicas_diagnosis import MEDMNIST


def test_the_catalog_s_sizes_are_the_published_ones():
    published = defaultdict(dict)
    with Path(__file__).with_name("published_sizes.csv").open(newline="") as stream:
        for row in csv.DictReader(stream):
            assert row["source"]
            published[row["row"]][row["split"]] = int(row["n"])
    sizes = {name: dict(row.sizes) for name, row in load().tasks.items() if row.sizes}
    of_a_size = {name: sizes.pop(name) for name in list(sizes) if re.fullmatch(r".*mnist-\d+", name)}
    assert sizes == published
    assert of_a_size == {f"{name}-{size}": published[name] for name in MEDMNIST for size in (28, 64, 128)}


def test_a_row_of_the_catalog_is_about_ten_lines_what_it_shares_stands_in_its_family():
    text = (Path(__file__).parents[3] / "tasks" / "catalog.toml").read_text(encoding="utf-8")
    rows = [row.splitlines() for row in text.split("\n[")[1:] if not row.startswith("families.")]
    keys = {row[0]: sum(re.match(r"\w+ += ", line) is not None for line in row[1:]) for row in rows}
    assert {name: count for name, count in keys.items() if count > 13} == {}
    assert sum(keys.values()) / len(keys) < 8
