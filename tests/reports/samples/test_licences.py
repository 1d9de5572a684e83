"""Whose images a report may hold."""

from medrival.catalog import Catalog

FREE = {"CC0 1.0", "CC BY 4.0", "MIT", "Apache-2.0"}


def test_only_what_we_drew_or_what_has_a_free_licence_is_passed_on(rows: Catalog) -> None:
    shared = [task for task in rows.tasks.values() if task.redistribute]
    assert {task.name for task in shared} >= {"phantom-chest", "vqa-rad", "slake", "pathmnist"}
    assert all(task.licence in FREE or task.name.startswith("phantom-") for task in shared)


def test_what_is_licensed_otherwise_or_unknown_stays(rows: Catalog) -> None:
    for name in ("chexpert", "ham10000", "dermamnist", "dermamnist-28", "pmc-vqa-clean", "path-vqa", "omnimedvqa", "gf3300"):
        assert not rows.tasks[name].redistribute
