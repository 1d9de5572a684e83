"""A browser, and reports to look at with it."""

import os
import subprocess
import sys
from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from filelock import FileLock
from PIL import Image
from playwright.sync_api import Browser, sync_playwright

from medrival.reports.environment import environment
from medrival.reports.html import write_html
from medrival.reports.record import CaseRecord, PairRecord, Run
from tests.reports.browser.watching import CHROMIUM, Watched, Write

RIVALS = ("--models", "pocket-clip,pocket-medclip,pocket-llava,pocket-medllava", "--regimes", "zero-shot", "--limit", "24")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"] if os.geteuid() == 0 else [])
        yield opened
        opened.close()


@pytest.fixture
def watched(browser: Browser) -> Iterator[Watched]:
    page = browser.new_page(viewport={"width": 1440, "height": 1000})
    seen = Watched(page)
    page.on("console", lambda message: seen.faults.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: seen.faults.append(str(error)))
    page.on("dialog", lambda dialog: (seen.faults.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    page.on("request", lambda request: seen.requests.append(request.url))
    yield seen
    page.close()


@pytest.fixture(scope="session")
def real(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """The report of a real run, made once for all workers."""
    folder = tmp_path_factory.getbasetemp()
    folder = (folder if worker_id == "master" else folder.parent) / "browsed"
    with FileLock(f"{folder}.lock"):
        if not (folder / "report.html").exists():
            run = [sys.executable, "-m", "pytest", "-p", "medrival.plugin", "--pyargs", "medrival.benchmarks", "-q", *RIVALS]
            places = ["--tasks", "phantom-chest,phantom-chest-vqa", "--store", f"{folder}-store", "--report-dir", str(folder)]
            done = subprocess.run(
                [*run, *places], cwd=folder.parent, env={**os.environ, "HF_HUB_OFFLINE": "1"}, capture_output=True, text=True
            )
            assert (folder / "report.html").exists(), done.stdout + done.stderr
    return folder


@pytest.fixture
def written(run: Run, picture: Image.Image) -> Write:
    """Writes a report of some cases without pairs, and gives its folder."""

    def write(*cases: CaseRecord, shareable: Collection[str] | None = None) -> Path:
        known = {case.task for case in cases} if shareable is None else shareable
        return write_html(replace(run, cases=cases, pairs=()), lambda _task, _sample: picture, known).parent

    return write


@pytest.fixture
def asked(run: Run) -> tuple[CaseRecord, ...]:
    """The cases of one task of questions: two models, two regimes."""
    return tuple(case for case in run.cases if case.task == "phantom-chest-vqa")


@pytest.fixture(scope="module")
def studied(
    tmp_path_factory: pytest.TempPathFactory, cases: tuple[CaseRecord, ...], pairs: tuple[PairRecord, ...], picture: Image.Image
) -> Path:
    """The folder of the made-up study's report, of two tasks."""
    tasks = {"phantom-chest", "phantom-chest-vqa"}
    chosen, held = ([one for one in some if one.task in tasks] for some in (cases, pairs))
    folder = tmp_path_factory.mktemp("studied")
    made = Run("2026-11-21T20:05:00+00:00", 1.0, "pocket", (), 0, tuple(chosen), tuple(held), folder, environment=environment())
    return write_html(made, lambda _task, _sample: picture, tasks).parent
