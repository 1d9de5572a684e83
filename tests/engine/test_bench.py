"""What a regime is lent, and what is put on its account."""

import numpy as np

from medrival import bench as lent
from medrival.bench import Bench
from medrival.case import Case
from medrival.contracts import Features


def test_features_that_a_case_asks_for_again_are_paid_for_once(new_lab, rows, monkeypatch):
    lab = new_lab()
    task = lab.task(rows.tasks["phantom-chest"])
    monkeypatch.setattr(lab, "features", lambda _, samples: Features(np.zeros((len(samples), 2)), {}, seconds=100.0))
    clock = iter(range(99))
    monkeypatch.setattr(lent.time, "perf_counter", lambda: next(clock))
    bench = Bench(lab, Case(rows.models["pocket-clip"], rows.tasks["phantom-chest"], rows.regimes["linear-probe"]))
    for samples in (task.train, task.validation, task.train, (*task.validation,), task.train[1:]):
        bench.features(samples)
    assert 300 <= bench.seconds() < 310
