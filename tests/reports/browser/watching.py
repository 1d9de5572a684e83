"""A real browser, and what is seen in it."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from medrival.reports.record import CaseRecord, Run

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)
needs_browser = pytest.mark.skipif(
    CHROMIUM is None, reason=f"no browser is installed: none of {', '.join(NAMES)} is on the path"
)

Write = Callable[..., Path]
"""Writes a report of some cases without pairs, and gives its folder."""


@dataclass
class Watched:
    """A page with what happened in it that should not."""

    page: Page
    faults: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def open(self, folder: Path, address: str = "") -> Page:
        self.page.goto(f"{(folder / 'report.html').as_uri()}{address}")
        expect(self.page.locator("#browser output")).not_to_be_empty()
        return self.page


def shown(page: Page) -> list[str]:
    """Ids of the samples on the page."""
    return page.locator(".samples article h3").all_inner_texts()


def settled(page: Page, words: str) -> None:
    expect(page.locator("#browser output")).to_contain_text(words)


def choose(page: Page, name: str, value: str) -> None:
    page.locator(f"#browser [name={name}]").select_option(value)


def rivals(run: Run, task: str) -> tuple[CaseRecord, CaseRecord]:
    general, medical = (next(c for c in run.cases if c.task == task and c.kind == kind) for kind in ("general", "medical"))
    return general, medical
