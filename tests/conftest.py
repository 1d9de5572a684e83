"""What most tests need: the catalog, the pocket models as adapters load them, a lab, and a run as a user starts it."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from medrival import catalog
from medrival.catalog import Catalog
from medrival.contracts import DualEncoder, Generator
from medrival.evaluate import Lab, Settings
from medrival.store import Store
from medrival.weights import locate

SHARED = Path(__file__).parents[2] / "shared" / "data"
HERE = str(Path(__file__).parent)

if HERE not in sys.path:  # where a run in this process finds the plugin `uncharted`
    sys.path.append(HERE)


@pytest.fixture(scope="session")
def rows() -> Catalog:
    return catalog.load()


@pytest.fixture(scope="session")
def drawn(tmp_path_factory) -> Path:
    """Where phantoms are drawn once for all tests."""
    return tmp_path_factory.mktemp("drawn")


def loaded(rows: Catalog, name: str) -> DualEncoder | Generator:
    card = rows.models[name]
    return catalog.imported(card.adapter)(card, locate(card, None), "cpu", "float32")


@pytest.fixture
def pocket_clip(rows) -> DualEncoder:
    return loaded(rows, "pocket-clip")


@pytest.fixture
def pocket_llava(rows) -> Generator:
    return loaded(rows, "pocket-llava")


@pytest.fixture
def new_lab(tmp_path, drawn) -> Callable[..., Lab]:
    """Makes labs on a store of this test's own; phantoms are drawn into a folder that all tests share."""
    folder = tmp_path / "store"
    folder.mkdir()
    (folder / "tasks").symlink_to(drawn)

    def make(**settings) -> Lab:
        return Lab(Settings(**{"limit": 24, **settings}), Store(folder), lambda items, _: items)

    return make


@dataclass(frozen=True)
class Study:
    """A finished run: its exit status, what it printed, and its report.json where there is one."""

    status: int
    output: str
    folder: Path

    @property
    def report(self) -> dict:
        return json.loads((self.folder / "report" / "report.json").read_text())

    @property
    def numbers(self) -> dict:
        """What must agree between runs: everything measured, without times and memory."""
        return {case["id"]: (case["status"], case["metrics"]) for case in self.report["cases"]} | {
            pair["id"]: (pair["difference"], pair["low"], pair["high"], pair["p_value"], pair["verdict"])
            for pair in self.report["pairs"]
        }


def command(folder: Path, *arguments: str) -> list[str]:
    """A study as a user of the installed package starts it, with a store and a report of its own."""
    places = ["--store", str(folder / "store"), "--report-dir", str(folder / "report")]
    plugins = ["-p", "medrival.plugin", "-p", "uncharted"]
    return [sys.executable, "-m", "pytest", *plugins, "--pyargs", "medrival.benchmarks", *places, *arguments]


def surroundings(**environment: str) -> dict[str, str]:
    """Environment variables of a run: this process's and the given ones, where the plugin `uncharted` is found, too."""
    known = {**os.environ, **environment}
    return {**known, "PYTHONPATH": os.pathsep.join(filter(None, [known.get("PYTHONPATH"), HERE]))}


@pytest.fixture
def study(tmp_path) -> Callable[..., Study]:
    """Runs a study in an empty folder, in processes of its own, without asking the hub."""

    def run(*arguments: str, folder: Path = tmp_path, **environment: str) -> Study:
        (folder / "empty").mkdir(exist_ok=True)
        done = subprocess.run(
            command(folder, *arguments),
            cwd=folder / "empty",
            env=surroundings(**{"HF_HUB_OFFLINE": "1", **environment}),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return Study(done.returncode, done.stdout, folder)

    return run
