"""`completion`: what a shell needs to complete the verbs, options, names and files of `medrival`."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from medrival.commands.common import Verbs, verb

SHELLS = ("bash", "zsh", "tcsh")
EXAMPLES = """
%(prog)s bash \\
    > ~/.local/share/bash-completion/completions/medrival
%(prog)s zsh > ~/.zfunc/_medrival
%(prog)s tcsh > ~/.medrival.tcsh
"""
MORE = """\
Print what a shell needs to complete `medrival`, the command that comes with
the package and does the same as `python -m medrival`. Names of models, tasks,
regimes and suites are those that are built in.
"""
OF_NAMES = {"models": "models", "tasks": "tasks", "task": "tasks", "suite": "suites", "trust_remote_code": "models"}
"""The axis whose names an option takes."""


def add(verbs: Verbs) -> None:
    """Say what it is asked with."""
    parser = verb(verbs, "completion", "print a shell's completion of medrival", more=MORE, examples=EXAMPLES, run=run)
    parser.add_argument("shell", choices=SHELLS)


def run(options: argparse.Namespace) -> int:
    """Print it."""
    import shtab

    from medrival import catalog
    from medrival.commands import parser

    whole, known = parser("medrival"), catalog.load().axes
    paths = {"FILE": shtab.FILE, "DIR": shtab.DIRECTORY, "RUN": shtab.DIRECTORY, "SHARD": shtab.DIRECTORY}
    for verb_name, action in _actions(whole):
        axis = verb_name if action.dest == "name" else OF_NAMES.get(action.dest, "")
        if axis in known:
            action.choices = tuple(known[axis])  # nothing is parsed by this parser, so that no glob is refused
        elif action.metavar in paths:
            action.complete = paths[action.metavar]  # type: ignore[attr-defined]  # where shtab looks for it
    print(shtab.complete(whole, options.shell))
    return 0


def _actions(parser: argparse.ArgumentParser, name: str = "") -> Iterator[tuple[str, argparse.Action]]:
    """Every argument of a command and of its verbs, with the verb's name."""
    for action in parser._actions:
        yield name, action
        if isinstance(action, argparse._SubParsersAction):
            for verb_name, verb_parser in action.choices.items():
                yield from _actions(verb_parser, verb_name)
