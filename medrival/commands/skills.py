"""`skills train`: the classifier that tells questions of understanding from those of reasoning."""

from __future__ import annotations

import argparse
from pathlib import Path

from medrival.commands.common import Verbs, verb, write

EXAMPLES = """
%(prog)s \\
    --medxpertqa MedXpertQA/MM/test.jsonl --out skills.json
"""
DOES = "the classifier that tells understanding from reasoning"


def add(verbs: Verbs) -> None:
    """Say what it is asked with."""
    actions = verb(verbs, "skills", DOES, examples=EXAMPLES.replace("%(prog)s", "%(prog)s train")).add_subparsers(
        metavar="ACTION", required=True
    )
    train = verb(actions, "train", "train it on MedXpertQA's labels", examples=EXAMPLES, run=run)
    train.add_argument("--medxpertqa", type=Path, required=True, metavar="FILE", help="MM/test.jsonl, or .json or .parquet")
    train.add_argument("--out", type=Path, required=True, metavar="FILE", help="JSON file for pytest's --skills")


def run(options: argparse.Namespace) -> int:
    """Train it, and say how well it does under cross-validation."""
    from medrival.tasks.skills.recipe import train

    classifier = train(options.medxpertqa)
    write(options.out, classifier.text().encode())
    print(f"{options.out}: {len(classifier.terms)} terms; cross-validated on {classifier.trained_on['data']}:")
    for name, value in classifier.cross_validation.items():
        print(f"  {name.replace('_', ' ')}: {value:.4g}")
    return 0
