"""Commands on the pages are commands: those of a study collect cases, the others are understood."""

import json
import re
import shutil
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

from medrival.commands import VERBS, parser
from tests.docs.pages import ROOT, Command, blocks, commands

PLUGIN = ("pytest", "-p", "medrival.plugin", "--pyargs", "medrival.benchmarks")
ABSENT = ("--baseline", "--lock", "--bertscore", "--skills")
"""Options that name what no page makes, such as what an earlier run has written: the command is collected without them."""
BIG = """
[tasks.big]
kind     = "diagnosis"
modality = "endoscopy"
data     = "folder:big"
prompt   = "a {}"
"""
"""For a page that has no row of its own."""
COLLECTED = """
import io, json, sys
from contextlib import redirect_stderr, redirect_stdout
from os import chdir
import pytest

found = []
for folder, arguments in json.load(sys.stdin):
    chdir(folder)
    said = io.StringIO()
    with redirect_stdout(said), redirect_stderr(said):
        status = pytest.main(["-p", "medrival.plugin", "--pyargs", "medrival.benchmarks", *arguments, "--collect-only", "-q"])
    found.append([int(status), said.getvalue()])
print(json.dumps(found))
"""
"""All in one process: the suite is imported once."""


def studies() -> list[tuple[Command, list[str]]]:
    """The commands that run the suite, with what stands behind its name."""
    known = ((command, command.after("pytest", "benchmarks") or command.after(*PLUGIN)) for command in commands())
    return [(command, _without_absent(rest)) for command, rest in known if rest]


def _without_absent(arguments: tuple[str, ...]) -> list[str]:
    left, skipping = [], False
    for word in arguments:
        name, is_whole, _ = word.partition("=")
        if not (skipping or name in ABSENT or name.startswith("--update-")):
            left.append(word)
        skipping = name in ABSENT and not is_whole
    return left


@pytest.fixture(scope="module")
def places(tmp_path_factory) -> dict[str, Path]:
    """A folder a page, with what its commands name: its own catalog and gates, weights and empty places."""
    made = {}
    for page in {command.page for command, _ in studies()}:
        made[page] = folder = tmp_path_factory.mktemp(Path(page).stem)
        shutil.copytree(ROOT / "models" / "pocket" / "clip", folder / "runs" / "my-clip")
        for name in ("DIR", "assets", "FOLDER"):
            (folder / name).mkdir()
        tables = [block for block in blocks("toml") if block.page == page]
        gates = next((block.text for block in tables if "gate" in tomllib.loads(block.text)), "")
        (folder / "gates.toml").write_text(_alone(gates) or (ROOT / "examples" / "ci" / "gates.toml").read_text())
        rows = [block.text for block in tables if {"models", "tasks"} & tomllib.loads(block.text).keys()]
        for name in ("my.toml", "big.toml"):
            (folder / name).write_text(next(iter(rows), BIG))
    return made


def _alone(gates: str) -> str:
    """Without a rule that needs an earlier run."""
    return "" if "no-regression-from" in gates else gates


def test_every_command_that_runs_the_suite_collects_cases(places):
    listed = studies()
    assert len(listed) >= 30
    asked = [(str(places[command.page]), arguments) for command, arguments in listed]
    done = subprocess.run(
        [sys.executable, "-c", COLLECTED], input=json.dumps(asked), capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stdout + done.stderr
    results = json.loads(done.stdout.splitlines()[-1])
    failed = [
        f"{command}\n{said}"
        for (command, _), (status, said) in zip(listed, results, strict=True)
        if status or not re.search(r"\btest_\w+\[", said)
    ]
    assert not failed, "\n\n".join(failed)


def test_every_option_of_the_suite_on_a_page_is_in_its_help():
    done = subprocess.run(
        [sys.executable, "-m", *PLUGIN[:3], "--help"], capture_output=True, text=True, check=True, cwd=ROOT / "tests"
    )
    used = {word.partition("=")[0] for command in commands() if command.words[:1] == ("pytest",) for word in command.words}
    assert {word for word in used if word.startswith("--")} - {"--pyargs"} <= set(re.findall(r"--[\w-]+", done.stdout))


@pytest.mark.parametrize("command", [c for c in commands() if c.after("python", "-m", "medrival")], ids=str)
def test_every_command_of_medrival_is_understood(command):
    arguments = command.after("python", "-m", "medrival")
    if arguments[1:] in ((), ("--help",)):  # a verb that the text names
        assert arguments[0] in VERBS
    else:
        assert parser().parse_args(arguments).run is not None


def test_every_module_that_is_run_is_there():
    modules = {c.words[2] for c in commands() if c.after("python", "-m")} - {"pip"}
    assert {"medrival", "medrival.statistics.proof"} <= modules
    for name in modules:
        import_module(name)
