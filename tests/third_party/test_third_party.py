"""A package of someone else adds a model by being installed, and by nothing else."""

import os
import subprocess
import sys
from pathlib import Path
from shutil import copytree

import pytest


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """Where pip really installed the example package, without network."""
    source = copytree(Path(__file__).parent / "medrival_greyscale", tmp_path_factory.mktemp("source") / "package")
    target = tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--target", str(target), str(source)], check=True, capture_output=True)
    assert list(target.glob("medrival_greyscale-*.dist-info/entry_points.txt"))
    return target


def test_its_cases_and_pairs_are_collected_and_nothing_else_changes(study, site):
    arguments = ("--collect-only", "-q", "--tasks", "phantom-fundus", "--regimes", "zero-shot,lora")
    plain, added = study(*arguments), study(*arguments, "--models", "pocket-*,greyscale", PYTHONPATH=str(site))
    assert "greyscale" not in plain.output
    new = {line.partition("[")[2] for line in added.output.splitlines() if "::" in line and "greyscale" in line}
    assert new == {
        "greyscale-phantom-fundus-zero-shot]",
        "greyscale-phantom-fundus-lora]",
        "pocket-clip~greyscale-phantom-fundus-lora]",
    }


def test_its_catalog_says_what_its_adapter_reads_for_rows_of_others_too(site, tmp_path):
    row = 'kind = "medical"\ntype = "dual-encoder"\nfamily = "x"\nadapter = "medrival_greyscale.adapter:greyscale"\n'
    (tmp_path / "my.toml").write_text(f'[models.mine]\n{row}weights = "ORG/NAME"\n')
    code = (
        "from pathlib import Path; from medrival.catalog import load; from medrival.reads import files_read\n"
        "print(files_read(load([Path('my.toml')]).models['mine'], ['config.json', 'model.safetensors']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "['config.json']"


def test_a_case_is_measured_with_it(study, site):
    arguments = ("--models", "greyscale", "--tasks", "phantom-fundus", "--regimes", "zero-shot", "--limit", "12")
    done = study(*arguments, PYTHONPATH=str(site))
    assert done.status == 0, done.output
    (case,) = done.report["cases"]
    assert (case["id"], case["status"], case["n"]) == ("greyscale-phantom-fundus-zero-shot", "measured", 12)
    assert case["notes"]["weights"]["sha256"]
