"""The view of a run beside its baseline."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from medrival.reports.exports.table import Row

COLUMNS = (
    *("case", "seeds", "task", "metric", "n", "baseline_value", "value", "baseline_failed", "failed"),
    *("difference", "low", "high", "p_value", "p_adjusted", "verdict", "identical", "status", "reason", "caution"),
)


def changes(told: Mapping[str, Any], _: Sequence[str]) -> Iterator[Row]:
    """From report.json's content: one row a case over its seeds; of one that was not compared, why."""
    against = told.get("baseline")
    if against is None:
        return
    found = against["comparison"]
    if found is None:
        yield {"status": "not compared", "reason": against["reason"]}
        return
    for one in found["cases"]:
        gap = one["difference"]
        yield {
            **{name: one[name] for name in ("task", "metric", "n", "p_adjusted", "verdict", "identical")},
            **{name: gap[name] for name in ("low", "high", "p_value", "caution", "reason")},
            "baseline_value": one["values"][0],
            "value": one["values"][1],
            "baseline_failed": one["failed"][0],
            "failed": one["failed"][1],
            "case": one["ids"][0][1],
            "seeds": len(one["ids"]),
            "difference": gap["value"],
            "status": "compared",
        }
    for where, cases in (("the baseline", found["only_a"]), ("this run", found["only_b"])):
        yield from ({"case": case, "status": "not compared", "reason": f"only in {where}"} for case in cases)
    yield from ({"case": case, "status": "not compared", "reason": why} for case, why in found["left_out"].items())
