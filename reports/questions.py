"""The three research questions, and what the measured pairs say to each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any, get_args

from medrival.statistics import Verdict

if TYPE_CHECKING:
    from medrival.case import Question
    from medrival.catalog import Domain
    from medrival.reports.record import PairRecord

QUESTIONS: Mapping[Question | None, tuple[str, str]] = {
    1: ("Off the shelf, in-domain", "Both off the shelf, in-domain"),
    2: ("Only general adapted", "General adapted, medical off the shelf, in-domain"),
    3: ("Adapted, out of domain", "Both adapted, out of domain"),
    None: ("Domain unknown", "Same regime, domain unknown"),
}
"""By number; None stands for pairs of which nobody said what the medical model saw, so that they belong to no question."""


DOMAINS: Mapping[Question | None, Domain] = {1: "in", 2: "in", 3: "ood", None: "unknown"}
"""Where each question is asked: in the medical model's domain or out of it."""

SIGNIFICANT = 0.05
"""Below it a corrected p-value upholds a win."""


@dataclass(frozen=True)
class Answer:
    """What the pairs say to one question.

    Attributes:
        family: whose pairs these are; None for all of them.
        label: the question in at most 24 characters; `title` in full.
        verdicts: how many measured pairs ended so, each judged alone.
        upheld: how many wins of which model hold after Holm's correction across all pairs of the run.
        differences: general minus medical of each measured pair where it is defined.
        metrics: the metrics that were compared.
        missing: pairs that were not measured.
    """

    question: Question | None
    family: str | None
    label: str
    title: str
    verdicts: Mapping[Verdict, int]
    upheld: Mapping[Verdict, int]
    differences: tuple[float, ...]
    metrics: tuple[str, ...]
    missing: int

    @property
    def measured(self) -> int:
        """How many pairs were compared."""
        return sum(self.verdicts.values())

    @property
    def wins(self) -> int:
        """How many pairs were won by either model."""
        return self.verdicts["general wins"] + self.verdicts["medical wins"]

    @property
    def held(self) -> int:
        """How many wins of either model hold after the correction."""
        return sum(self.upheld.values())

    @property
    def correction(self) -> str:
        """Such as "4 of 6 wins hold after Holm's correction"; "" where nobody won."""
        return f"{self.held} of {self.wins} wins hold after Holm's correction" if self.wins else ""

    @property
    def heading(self) -> str:
        """Such as "3. Both adapted, out of domain"."""
        return f"{self.question}. {self.title}" if self.question else self.title

    @property
    def word(self) -> str:
        """The answer in a word or three. A general model rivals where it wins or is equivalent within the margin.

        A win that does not hold after the correction decides nothing, for of many pairs some win by chance; but equivalence
        is not corrected, so that a win of the other side, upheld or not, leaves no plain answer.
        """
        decided = self.held + self.verdicts["equivalent"]
        rivals = self.verdicts["general wins"] + self.verdicts["equivalent"]
        if not self.measured:
            return "Not measured"
        if not decided:
            return "Undecided"
        if rivals and self.verdicts["medical wins"]:
            return "In part"
        return ("Yes" if rivals else "No") + (", where decided" if decided < self.measured else "")

    @property
    def counts(self) -> str:
        """Such as "medical ahead in 6 of 6" or "general ahead in 4, equivalent in 2"."""
        parts = [
            (self.verdicts["general wins"], "general ahead"),
            (self.verdicts["medical wins"], "medical ahead"),
            (self.verdicts["equivalent"], "equivalent"),
            (self.verdicts["inconclusive"], "undecided"),
        ]
        said = [f"{words} in {n}" for n, words in parts if n]
        return ", ".join(said) + (f" of {self.measured}" if len(said) == 1 else "")

    @property
    def sentence(self) -> str:
        """Word and counts, such as "No: medical ahead in 6 of 6"; the counts are of the pairs' own verdicts."""
        if self.measured and self.verdicts["inconclusive"] == self.measured:
            return self.counts.capitalize()
        return f"{self.word}: {self.counts}" if self.measured else self.word


def answers(pairs: Iterable[PairRecord], family: str | None = None) -> tuple[Answer, ...]:
    """One answer a question, in the order of the questions, measured or not: of all pairs, or of one family's.

    Pairs of no question come last, where there are any.
    """
    known = list(pairs)
    asked = [question for question in QUESTIONS if question or any(pair.question is None for pair in known)]
    chosen = [pair for pair in known if family in (None, pair.family)]
    return tuple(_answer(question, family, [p for p in chosen if p.question == question]) for question in asked)


def families(pairs: Iterable[PairRecord]) -> list[str]:
    """The families that the pairs are of, in order."""
    return list(dict.fromkeys(pair.family for pair in pairs))


def questions(pairs: Sequence[PairRecord]) -> list[dict[str, Any]]:
    """What report.json says to each question: overall first, then by family."""
    return [
        {
            "question": answer.question,
            "title": answer.title,
            "domain": DOMAINS[answer.question],
            "family": answer.family,
            "verdicts": {verdict: answer.verdicts[verdict] for verdict in get_args(Verdict)},
            "wins_after_correction": answer.held,
            "missing": answer.missing,
            "sentence": answer.sentence,
        }
        for family in (None, *families(pairs))
        for answer in answers(pairs, family)
    ]


def _answer(question: Question | None, family: str | None, pairs: list[PairRecord]) -> Answer:
    measured = [p for p in pairs if p.status == "measured" and p.verdict]
    return Answer(
        question,
        family,
        *QUESTIONS[question],
        verdicts=Counter(p.verdict for p in measured if p.verdict),
        upheld=Counter(p.verdict for p in measured if p.verdict and _upheld(p)),
        differences=tuple(p.difference for p in measured if p.difference is not None and isfinite(p.difference)),
        metrics=tuple(sorted({p.metric for p in measured})),
        missing=len(pairs) - len(measured),
    )


def _upheld(pair: PairRecord) -> bool:
    won = pair.verdict in ("general wins", "medical wins")
    return won and pair.p_adjusted is not None and pair.p_adjusted < SIGNIFICANT
