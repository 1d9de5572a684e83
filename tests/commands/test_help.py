"""`--help` of every verb teaches by example, in 80 columns; what ends a command early leaves no traceback."""

import argparse
import os
import re
import shlex
import subprocess
import sys

import pytest

from medrival import commands
from medrival.__main__ import main

BASH = "source {script}; f=$(complete -p medrival | sed 's/.*-F \\([^ ]*\\).*/\\1/')\n"
BASH += "COMP_WORDS=({words}); COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 )); $f; echo ${{COMPREPLY[*]}}"


@pytest.fixture
def of_80_columns(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")


def helped(capsys, *arguments: str) -> str:
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "--help"])
    assert ended.value.code == 0
    return capsys.readouterr().out


@pytest.mark.usefixtures("of_80_columns")
def test_without_a_verb_the_help_lists_them_in_order_of_use(capsys):
    assert main([]) == 0
    said = capsys.readouterr().out
    assert re.findall(r"^    ([a-z]+)  ", said, re.MULTILINE) == list(commands.VERBS)
    assert max(map(len, said.splitlines())) <= 80


@pytest.mark.usefixtures("of_80_columns")
@pytest.mark.parametrize("verb", [(verb,) for verb in commands.VERBS] + [("skills", "train")], ids=" ".join)
def test_help_has_examples_that_are_understood_in_80_columns(capsys, verb):
    said = helped(capsys, *verb)
    assert max(map(len, said.splitlines())) <= 80
    examples = said.split("\nexamples:\n")[1].replace("\\\n", " ").splitlines()
    assert examples
    for line in examples:
        words = shlex.split(line.partition(" > ")[0])
        assert words[:4] == ["python", "-m", "medrival", verb[0]]
        assert callable(commands.parser().parse_args(words[3:]).run)


def test_an_option_means_the_same_in_every_verb():
    verbs = next(a for a in commands.parser()._actions if isinstance(a, argparse._SubParsersAction)).choices
    metavars: dict[str, set] = {}
    for parser in verbs.values():
        for action in parser._actions:
            for option in action.option_strings:
                metavars.setdefault(option, set()).add(action.metavar)
    for option in ("--assets", "--catalog", "--report-dir", "--store", "--json"):
        assert metavars[option] == {"FILE" if option in ("--catalog", "--json") else "DIR"}


def test_an_interrupted_command_ends_with_130_and_no_traceback(capsys, monkeypatch):
    monkeypatch.setattr("medrival.catalog.load", interrupted)
    assert main(["models"]) == 130
    assert capsys.readouterr().err == "interrupted\n"


def interrupted(*_):
    raise KeyboardInterrupt


def test_a_reader_that_has_seen_enough_is_no_error():
    shell = f"{shlex.quote(sys.executable)} -m medrival tasks | head -n 1"
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=False)
    assert done.stdout.startswith("name")
    assert done.stderr == ""


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_completion_of_each_shell_knows_verbs_and_names(capsys, shell):
    assert main(["completion", shell]) == 0
    said = capsys.readouterr().out
    assert all(verb in said for verb in commands.VERBS)
    assert "biomedclip" in said


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("medrival mode", "models"),
        ("medrival models biomed", "biomedclip"),
        ("medrival regimes lora-i", "lora-image"),
        ("medrival fetch --suite medm", "medmnist"),
        ("medrival score --task vqa-rad-o", "vqa-rad-organ"),
        ("medrival merge sha", "shard-1"),
    ],
)
def test_bash_completes_verbs_names_and_folders(capsys, tmp_path, typed, offered):
    (tmp_path / "shard-1").mkdir()
    main(["completion", "bash"])
    (tmp_path / "script").write_text(capsys.readouterr().out)
    code = BASH.format(script=tmp_path / "script", words=typed)
    done = subprocess.run(["bash", "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path, env=os.environ)
    assert done.stdout.split() == [offered]
