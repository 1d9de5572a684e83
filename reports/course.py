"""How far a run has come: what is done, what runs, what failed, and about how long the rest takes; in words for a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress

from medrival.plan import Plan
from medrival.reports.figures import count, duration, visible
from medrival.shards import BY_ESTIMATE, Work

LEGIBLE = 12
"""Characters that a name needs at least."""


class Course:
    """The state of a run while it is under way; a thread that draws may ask while another notes what happens.

    Cases are counted; where only pairs or audits were selected, these are.

    Args:
        plan: what may be collected.
        work: what each case is expected to take.
        clock: in seconds.
    """

    def __init__(self, plan: Plan, work: Work, clock: Callable[[], float] = time.monotonic) -> None:
        self._plan = plan
        self._work = work
        self._clock = clock
        self._begun = clock()
        self._collected: set[str] = set()
        self._ended: set[str] = set()
        self._failed: set[str] = set()
        self._running: dict[str, float] = {}
        self._paid: list[tuple[int, float]] = []
        self._abreast = 0
        self._loop = ""

    def collected(self, names: Iterable[str]) -> None:
        """Note what is going to run, by id; what is not of the plan is left out."""
        self._collected.update(
            name for name in names if name in self._plan.cases or name in self._plan.pairs or name in self._plan.tasks
        )

    def began(self, name: str) -> None:
        """Note that it runs from now on."""
        if name in self._collected:
            self._running[name] = self._clock()
            self._abreast = max(self._abreast, len(self._running))

    def failed(self, name: str) -> None:
        """Note that it failed."""
        if name in self._collected:
            self._failed.add(name)

    def ended(self, name: str, *, stored: bool) -> None:
        """Note that it runs no longer; one whose outcome was in the store says nothing of the time that others take."""
        if name in self._running:
            seconds = self._clock() - self._running.pop(name)
            if name in self._counted and not stored:
                self._paid.append((self._weight(name), seconds))
        self._ended |= self._collected & {name}
        self._loop = ""

    def at(self, label: str, done: int, total: int | None) -> None:
        """Note where the loop is that runs now."""
        self._loop = visible(f"{label}, {done:,}/{total:,}" if total else f"{label}, {done:,}")

    @property
    def left(self) -> float | None:
        """Seconds until the last case is done; None where nothing is known of them.

        What remains is as much slower or faster than expected as what is done was, leaving out the first case of each process,
        which imports libraries, too; those that run at a time go on doing so.
        """
        if usual := self._paid[self._abreast :]:
            expected, taken = (sum(column) for column in zip(*usual, strict=True))
            pace = taken / expected
        elif self._work.source != BY_ESTIMATE:
            pace = 0.001  # the work is in milliseconds of an earlier run
        else:
            return None
        now = self._clock()
        waiting = {name: pace * self._weight(name) for name in self._counted - self._ended}
        spent = {name: min(now - begun, waiting[name]) for name, begun in dict(self._running).items() if name in waiting}
        return (sum(waiting.values()) - sum(spent.values())) / max(1, len(spent))

    def line(self) -> str:
        """The state in words, for a log."""
        if not self._counted:
            return ""
        done, all_of_them = self._done
        said = [f"medrival: {done:,} of {count(all_of_them, self._noun)}"]
        said += [f"{len(self._failed):,} failed"] if self._failed else []
        said.append(duration(self._clock() - self._begun))
        said += [f"about {duration(left)} left"] if (left := self.left) is not None else []
        running = self._named(sys.maxsize)
        return ", ".join(said) + (f"; {running}" if running else "")

    def status(self, width: int) -> str:
        """The state in at most `width` columns: what is running has the room that the figures leave."""
        if not self._counted:
            return ""
        done, all_of_them = self._done
        figures = [f"{done:,}/{count(all_of_them, self._noun)}", duration(self._clock() - self._begun)]
        figures += [f"~{duration(left)} left"] if (left := self.left) is not None else []
        figures += [f"{len(self._failed):,} failed"] if self._failed else []
        memory = [said] if (said := gpu_memory()) else []
        for shown in (figures + memory, figures):
            text = "  ".join(shown)
            if (room := width - len(text) - 2) >= LEGIBLE:
                return f"{text}  {self._named(room)}".rstrip()
        return "  ".join(figures)[:width]

    @property
    def _counted(self) -> set[str]:
        return self._collected & set(self._plan.cases) or self._collected

    @property
    def _noun(self) -> str:
        return "case" if self._collected & set(self._plan.cases) else "test"

    @property
    def _done(self) -> tuple[int, int]:
        counted = self._counted
        return len(counted & self._ended), len(counted)

    def _weight(self, name: str) -> int:
        return self._work.milliseconds.get(name, 1)

    def _named(self, room: int) -> str:
        """What is running, as many names as are legible in the room; a single one with its loop."""
        names = [visible(name) for name in tuple(self._running)]
        if len(names) == 1:
            about = f": {self._loop.removeprefix(names[0] + ': ')}" if self._loop else ""
            about = about if room - len(about) >= LEGIBLE else ""
            return clipped(names[0], room - len(about)) + about
        told = min(len(names), max(1, (room - 4) // (LEGIBLE + 2)))
        more = f" +{len(names) - told}" if len(names) > told else ""
        each = (room - len(more)) // max(told, 1) - 2
        return ", ".join(clipped(name, each) for name in names[:told]) + more


def clipped(text: str, room: int) -> str:
    """The text with its middle left out where it is longer than the room: the model's and the regime's name stay."""
    if len(text) <= room:
        return text
    kept = max(room - 3, 2)
    return f"{text[: kept - kept // 2]}...{text[len(text) - kept // 2 :]}"[:room]


def gpu_memory() -> str:
    """What this process has taken of its GPUs' memory, such as "GPU 12.3/139 GB"; "" where it uses none.

    torch is never imported for it, and CUDA never begun: it is asked for what it has counted already.
    """
    with suppress(AttributeError):  # torch is being imported by the run itself
        if "torch" in sys.modules and (cuda := sys.modules["torch"].cuda).is_initialized():
            taken = {gpu: cuda.memory_reserved(gpu) for gpu in range(cuda.device_count())}
            used = [gpu for gpu, size in taken.items() if size] or [cuda.current_device()]
            total = sum(cuda.get_device_properties(gpu).total_memory for gpu in used)
            return f"GPU {sum(taken.values()) / 1e9:.1f}/{total / 1e9:.0f} GB"
    return ""
