"""What one pytest session holds, under typed keys of `config.stash`."""

from __future__ import annotations

import pytest

from medrival.catalog import Catalog, ModelCard
from medrival.gates import Gates
from medrival.lock import Lock
from medrival.plan import Plan
from medrival.reports.progress import Progress
from medrival.store import Store

CANDIDATES = pytest.StashKey[list[ModelCard]]()
ROWS = pytest.StashKey[Catalog]()
"""Without those of the candidates."""
PLAN = pytest.StashKey[Plan]()
STORE = pytest.StashKey[Store]()
LOCK = pytest.StashKey[Lock | None]()
GATES = pytest.StashKey[Gates | None]()
PROGRESS = pytest.StashKey[Progress]()
STARTED = pytest.StashKey[float]()
"""When the session began, in seconds since 1970, the same in every worker."""
