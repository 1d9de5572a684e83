"""The catalog's numbers of samples against those that are published, of which published_sizes.csv names the source."""

from __future__ import annotations

import csv
from collections import defaultdict
from pathlib import Path

from medrival.catalog import load


def test_the_catalog_s_sizes_are_the_published_ones():
    published = defaultdict(dict)
    with Path(__file__).with_name("published_sizes.csv").open(newline="") as stream:
        for row in csv.DictReader(stream):
            assert row["source"]
            published[row["row"]][row["split"]] = int(row["n"])
    assert {name: dict(row.sizes) for name, row in load().tasks.items() if row.sizes} == published
