"""What the README says is true: its commands, its options, its catalog row."""

import re
import shlex
from pathlib import Path
from shutil import copytree

from medrival import catalog
from medrival.weights import locate

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", README, flags=re.S)


def test_the_first_lines_are_two_commands_that_the_makefile_has():
    first = [line.split()[:2] for line in BLOCKS[0][1].splitlines()]
    assert first == [["make", "bench"], ["make", "test"]]
    assert all(f"\n{name}:" in (ROOT / "Makefile").read_text() for _, name in first)


def test_every_pytest_command_selects_cases(study, tmp_path):
    (tmp_path / "DIR").mkdir()
    (tmp_path / "my.toml").write_text(next(text for language, text in BLOCKS if language == "toml"))
    commands = [line for _, text in BLOCKS for line in text.splitlines() if line.startswith("pytest benchmarks")]
    assert len(commands) >= 6
    for line in commands:
        arguments = shlex.split(line, comments=True)[2:]
        placed = [str(tmp_path / word) if word in ("DIR", "my.toml") else word for word in arguments]
        done = study("--collect-only", "-q", *placed)
        assert done.status == 0, f"{line}\n{done.output}"
        assert "[" in done.output


def test_the_catalog_row_is_a_model(tmp_path):
    (tmp_path / "my.toml").write_text(next(text for language, text in BLOCKS if language == "toml"))
    model = catalog.load([tmp_path / "my.toml"]).models["my-clip"]
    assert callable(catalog.imported(model.adapter))
    assert catalog.domain(model, catalog.load().tasks["phantom-chest"]) == "in"


def test_the_catalog_row_is_compared_with_its_partner_to_a_verdict(study, rows, tmp_path):
    (tmp_path / "my.toml").write_text(next(text for language, text in BLOCKS if language == "toml"))
    copytree(locate(rows.models["pocket-medclip"], None), tmp_path / "checkpoints" / "my-clip")
    line = next(line for _, text in BLOCKS for line in text.splitlines() if "--catalog my.toml" in line)
    arguments = [str(tmp_path / word) if word == "my.toml" else word for word in shlex.split(line)[2:]]
    done = study(*arguments, "--limit", "24", "-k", "rivalry")
    assert done.status == 0, done.output
    assert {pair["question"] for pair in done.report["pairs"] if pair["verdict"]} == {1, 2}
    assert {case["model"] for case in done.report["cases"]} == {"my-clip", "pocket-clip"}, "a pair brings its cases along"
    assert "limited to 24 samples" in done.output
