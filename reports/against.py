"""A run beside its baseline, for the report: what changed, case by case, whether or not a gate asks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medrival.comparing import Compared, Comparison, compare_runs
from medrival.errors import MedrivalError
from medrival.statistics import Difference

if TYPE_CHECKING:
    from medrival.reports.record import Run

SIDES = ("the baseline", "this run")


@dataclass(frozen=True)
class Against:
    """The baseline and the difference from it: this run minus the baseline.

    Attributes:
        path: of its report.json, as the user named it.
        started: when that run began; "" where it cannot be read.
        comparison: what changed; None where nothing can be compared, for `reason`.
    """

    path: str
    started: str
    comparison: Comparison | None
    reason: str = ""


def against(path: Path, run: Run, margin: float) -> Against:
    """Compare a run with the report.json of an earlier one; what cannot be compared says why."""
    from medrival.reports.reading import read_run

    started = ""
    try:
        baseline = read_run(path)
        started = baseline.started
        return Against(str(path), started, compare_runs(baseline, run, margin=margin, sides=SIDES, strict=False))
    except MedrivalError as error:
        return Against(str(path), started, None, str(error))
    except Exception as error:  # values that no run writes may fail anywhere; an old file must not cost the new run its report
        return Against(str(path), started, None, f"it is damaged ({type(error).__name__}: {error}); name another baseline")


def against_from(record: Mapping[str, Any]) -> Against:
    """What `dataclasses.asdict` took apart, also after a detour through JSON.

    Raises:
        KeyError, TypeError: it was none.
    """
    found = record["comparison"]
    return Against(**{**record, "comparison": found and _comparison(found)})


def _comparison(record: Mapping[str, Any]) -> Comparison:
    cases = tuple(_compared(one) for one in record["cases"])
    names = {name: tuple(record[name]) for name in ("only_a", "only_b", "unaudited")}
    return Comparison(**{**record, **names, "cases": cases})


def _compared(record: Mapping[str, Any]) -> Compared:
    ids = tuple((one, other) for one, other in record["ids"])
    pairs = {name: tuple(record[name]) for name in ("values", "failed")}
    return Compared(**{**record, **pairs, "ids": ids, "difference": Difference(**record["difference"])})
