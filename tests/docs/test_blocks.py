"""Blocks of code on the pages are what they say: TOML is read by the reader it is for, Python runs where it says so."""

import ast
import subprocess
import sys
import tomllib
from itertools import pairwise

import pytest
import yaml
from PIL import Image

from medrival import catalog
from medrival.gates.reading import read
from tests.docs.pages import ROOT, Block, blocks

RUNS = "# runs as it stands\n"
ROW = '[models.shown]\nkind = "medical"\ntype = "dual-encoder"\nfamily = "shown"\nadapter = "{}"\n'


@pytest.mark.parametrize("block", blocks("toml"), ids=str)
def test_toml_is_read_by_the_reader_it_is_for(block, tmp_path):
    path, keys = tmp_path / "block.toml", tomllib.loads(block.text).keys()
    path.write_text(block.text)
    if "gate" in keys:
        assert read(path)
    elif "project" in keys:
        assert "medrival" in tomllib.loads(block.text)["project"]["entry-points"]
    elif keys & {"models", "tasks", "regimes", "families"}:
        assert catalog.load([path])
    elif keys == {"adapters"}:  # what is said of an adapter stands beside a model that it loads
        (adapter,) = tomllib.loads(block.text)["adapters"]
        path.write_text(ROW.format(adapter) + 'weights = "shown"\n' + block.text)
        assert catalog.load([path])
    else:  # some keys of a model's row
        path.write_text(ROW.format("medrival.models.dual_encoder:transformers") + block.text)
        assert catalog.load([path])


@pytest.mark.parametrize("block", blocks("python"), ids=str)
def test_python_compiles(block):
    ast.parse(block.text)


def shown_with_output() -> list[tuple[Block, Block]]:
    return [(one, output) for one, output in pairwise(blocks("python", "")) if one.text.startswith(RUNS)]


@pytest.mark.parametrize(("block", "output"), shown_with_output(), ids=str)
def test_python_that_runs_prints_what_the_page_shows_below(block, output):
    done = subprocess.run([sys.executable, "-c", block.text], capture_output=True, text=True, check=False, cwd=ROOT / "tests")
    assert [line.rstrip() for line in done.stdout.splitlines()] == output.text.splitlines(), done.stderr


@pytest.mark.parametrize("block", blocks("yaml"), ids=str)
def test_yaml_parses(block):
    assert yaml.safe_load(block.text)


@pytest.mark.parametrize(
    ("page", "file"),
    [
        ("docs/ci.md", "examples/ci/gates.toml"),
        ("docs/ci.md", "examples/ci/github-actions.yml"),
        ("docs/ci.md", "examples/ci/gitlab-ci.yml"),
        ("docs/add-a-model.md", "tests/third_party/medrival_greyscale/medrival_greyscale/adapter.py"),
    ],
)
def test_a_file_that_a_page_shows_is_shown_whole(page, file):
    assert (ROOT / file).read_text() in {block.text for block in blocks("toml", "yaml", "python") if block.page == page}


def test_the_reader_on_the_page_reads_its_data(tmp_path, monkeypatch):
    (code,) = (block.text for block in blocks("python") if block.page == "docs/add-a-data-set.md")
    row = next(block.text for block in blocks("toml") if block.page == "docs/add-a-data-set.md" and "my_data:" in block.text)
    (tmp_path / "my_data.py").write_text(code)
    (tmp_path / "my.toml").write_text(row)
    (tmp_path / "lumps").mkdir()
    lines = ["image,finding,patient,sex"]
    for number in range(40):
        Image.new("L", (8, 8), 5 * number).save(tmp_path / "lumps" / f"{number}.png")
        lines.append(f"{number}.png,{('benign', 'malignant')[number % 2]},P{number},female")
    (tmp_path / "lumps" / "labels.csv").write_text("\n".join(lines) + "\n")
    monkeypatch.syspath_prepend(tmp_path)
    card = catalog.load([tmp_path / "my.toml"]).tasks["lumps"]
    task = catalog.imported(card.loader)(card, None, tmp_path / "cache")
    assert task.classes == ("benign", "malignant")
    assert len(task.train) + len(task.validation) + len(task.test) == 40
    assert {sample.group for sample in task.test} <= {f"P{number}" for number in range(40)}
