"""What a run hands to the reports: plain values, and the dictionary that report.json holds."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from medrival.reports.questions import questions
from medrival.statistics import holm

if TYPE_CHECKING:
    from medrival.case import Question
    from medrival.catalog import Domain
    from medrival.contracts import Prediction, TaskKind
    from medrival.gates import Judgement
    from medrival.integrity import Audit
    from medrival.reports.against import Against
    from medrival.reports.published import Published
    from medrival.statistics import Verdict

Kind = Literal["general", "medical"]
Status = Literal["measured", "failed", "skipped"]

VALIDATION = ".validation"
_PLAIN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True)
class CaseRecord:
    """What became of one case.

    Attributes:
        reason: why it failed or was skipped, for the user; "" where it was measured.
        metrics: by name: value, low, high, n and, where the value is undefined, the reason.
        per_class: by metric and class, each like a metric (diagnosis).
        subgroups: by attribute: the metric, its value in each group, and the largest gap.
        primary: the metric this kind of task is judged by; a name in `metrics`.
        cost: seconds, train_seconds, trainable_parameters, total_parameters, peak_memory_bytes, samples_per_second.
        notes: what a reader of the numbers must know, e.g. {"test_images_in_train": 202}.
        classes: class names in the order of a prediction's scores (diagnosis).
        predictions: one a test sample, in test order.
        validation: one a validation sample, on which the decision threshold is chosen (diagnosis).
        blind: the primary metric without a look at the image, "constant" and "question_only", where the task was audited.
        unleaked: "n" and "metrics" on the test samples that are not leaked, under --drop-leaked where the task was audited.
    """

    id: str
    model: str
    kind: Kind
    task: str
    task_kind: TaskKind
    domain: Domain
    regime: str
    seed: int
    status: Status
    reason: str = ""
    metrics: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    per_class: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    subgroups: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    primary: str = ""
    cost: Mapping[str, float | int | None] = field(default_factory=dict)
    notes: Mapping[str, Any] = field(default_factory=dict)
    classes: tuple[str, ...] = ()
    predictions: tuple[Prediction, ...] = ()
    validation: tuple[Prediction, ...] = ()
    blind: Mapping[str, float | None] = field(default_factory=dict)
    unleaked: Mapping[str, Any] | None = None

    @property
    def failed(self) -> tuple[Prediction, ...]:
        """The samples that could not be predicted; they count as wrong."""
        return tuple(p for p in self.predictions if p.error)

    @property
    def predictions_file(self) -> str | None:
        """Where the per-sample file lies, relative to the report; a safe file name whatever the id holds."""
        return f"predictions/{self._file_name}.jsonl" if self.predictions else None

    @property
    def validation_file(self) -> str | None:
        """The same of the validation samples."""
        return f"predictions/{self._file_name}{VALIDATION}.jsonl" if self.validation else None

    @property
    def files(self) -> Mapping[str, tuple[str, tuple[Prediction, ...]]]:
        """The per-sample files there are, by the key that names each in the report, and what they hold."""
        named = {
            "predictions": (self.predictions_file, self.predictions),
            "validation": (self.validation_file, self.validation),
        }
        return {key: (file, predictions) for key, (file, predictions) in named.items() if file}

    @property
    def _file_name(self) -> str:
        if _PLAIN_ID.fullmatch(self.id) and not self.id.endswith(VALIDATION):
            return self.id
        return f"{re.sub(r'[^A-Za-z0-9-]+', '_', self.id)[:80]}-{sha256(repr(self.id).encode()).hexdigest()[:12]}"


@dataclass(frozen=True)
class PairRecord:
    """A general and a medical model on the same samples.

    Attributes:
        question: of paper A: 1 both off the shelf, in-domain; 2 general adapted, medical off the shelf, in-domain;
            3 both adapted, out of domain; None where the domain is unknown.
        regimes: the general model's and the medical model's.
        difference: general minus medical, in units of `metric`; None where it is undefined or the pair not measured.
        low: lower end of the difference's 95% interval; `high` its upper end.
        verdict: None where the pair was not measured.
        p_adjusted: the p-value after Holm's correction across the run's measured pairs.
        seeds: how many seeds of training the general and the medical model have.
        margin: differences smaller than this count as equivalent.
        reason: why it failed or was skipped; of one that was measured, why its difference is undefined, or "".
        caution: why the interval may not cover as often as it says, and in what unlike ways the two were asked, or "".
    """

    id: str
    general: str
    medical: str
    task: str
    task_kind: TaskKind
    family: str
    domain: Domain
    question: Question | None
    regimes: tuple[str, str]
    metric: str
    difference: float | None
    low: float | None
    high: float | None
    p_value: float | None
    verdict: Verdict | None
    n: int
    margin: float
    seeds: tuple[int, int]
    status: Status
    reason: str = ""
    p_adjusted: float | None = None
    caution: str = ""


@dataclass(frozen=True)
class AuditRecord:
    """What became of the audit of one task.

    Attributes:
        status: "failed" also where the audit found the data to be broken.
        reason: why it failed or was skipped, for the user; "" where it was measured.
        audit: what it found; None where it did not come to that.
    """

    task: str
    status: Status
    reason: str = ""
    audit: Audit | None = None


@dataclass(frozen=True)
class Run:
    """One pytest session: `started` in ISO 8601 UTC, `seconds` of wall time, `argv` pytest's arguments as given.

    Attributes:
        shard: which part of a run it was, under --shard.
        shards: of which runs it was merged; then `started` is the first one's and `seconds` are those of all.
        environment: git, packages and hardware, as `environment()` finds them.
        not_planned: which selected tasks and regimes make no case, each in a sentence that says why.
        baseline: the run under --baseline, and what changed since; None where there is none.
    """

    started: str
    seconds: float
    suite: str
    argv: tuple[str, ...]
    exit_status: int
    cases: tuple[CaseRecord, ...]
    pairs: tuple[PairRecord, ...]
    report_dir: Path
    gates: tuple[Judgement, ...] = ()
    published: tuple[Published, ...] = ()
    audits: tuple[AuditRecord, ...] = ()
    shard: Mapping[str, Any] | None = None
    shards: tuple[Mapping[str, Any], ...] = ()
    environment: Mapping[str, Any] = field(default_factory=dict)
    not_planned: tuple[str, ...] = ()
    baseline: Against | None = None

    @property
    def fingerprints(self) -> dict[str, str]:
        """Of each task's data, as its audit or one of its cases found it."""
        found = {case.task: case.notes["fingerprint"] for case in self.cases if "fingerprint" in case.notes}
        return found | {record.task: record.audit.fingerprint for record in self.audits if record.audit}


def corrected(pairs: Sequence[PairRecord]) -> tuple[PairRecord, ...]:
    """The pairs with p-values after Holm's correction, across those that were measured."""
    adjusted = holm([pair.p_value if pair.status == "measured" else None for pair in pairs])
    return tuple(replace(pair, p_adjusted=p) for pair, p in zip(pairs, adjusted, strict=True))


def document(run: Run) -> dict[str, Any]:
    """The run as report.json holds it (schema: report.schema.json), of JSON's own types only."""
    about = {name: getattr(run, name) for name in ("started", "seconds", "suite", "argv", "exit_status")}
    parts = {name: part for name in ("shard", "shards", "not_planned") if (part := getattr(run, name))}
    report: dict[str, Any] = plain(
        {
            "schema": "1",
            "run": about | parts | dict(run.environment),
            "cases": [_case(case) for case in run.cases],
            "pairs": [_pair(pair) for pair in run.pairs],
            "questions": questions(run.pairs),
            "gates": [vars(judgement) for judgement in run.gates],
            "published": [vars(figure) for figure in run.published],
            "integrity": [_integrity(record) for record in run.audits],
            **({"baseline": asdict(run.baseline)} if run.baseline else {}),
        }
    )
    return report


def plain(value: Any) -> Any:
    """The same value in JSON's own types: NaN and infinities are None, numpy values Python's, lone surrogates '?'."""
    if isinstance(value, Mapping):
        return {plain(str(key)): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if value is None or isinstance(value, (bool, int)):
        return value
    return plain(value.tolist() if hasattr(value, "tolist") else str(value))


def _case(case: CaseRecord) -> dict[str, Any]:
    return vars(case) | {
        "n": len(case.predictions),
        "failed_samples": len(case.failed),
        "predictions": case.predictions_file,
        "validation": case.validation_file,
    }


def _integrity(record: AuditRecord) -> dict[str, Any]:
    found = asdict(record.audit) if record.audit else {}
    if record.audit:
        found["leakage"]["share"] = record.audit.leakage.share
    return {"task": record.task, "status": record.status, "reason": record.reason, **found}


def _pair(pair: PairRecord) -> dict[str, Any]:
    """A pair that was not measured is listed, with its reason, and states nothing."""
    nothing = dict.fromkeys(("difference", "low", "high", "p_value", "p_adjusted", "verdict"))
    return vars(pair) | ({} if pair.status == "measured" else nothing)
