"""The store: exact, atomic, locked, bounded."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest

from medrival.case import Cost, Outcome
from medrival.contracts import Features, Prediction
from medrival.files import write_atomically
from medrival.statistics import Estimate
from medrival.store import Store, key_of

OUTCOME = Outcome(
    key="ab12",
    classes=("no", "yes"),
    metrics={"auroc": Estimate(0.1 + 0.2, 0.25, 1 / 3, 7), "f1": Estimate(None, None, None, 0, "one class only")},
    predictions=(
        Prediction("a", "p1", "yes", scores=(1 / 3, 2 / 3), attributes={"sex": "female"}),
        Prediction("b", "p1", "no", answer="No\u2028\ud7ff", error="zero bytes", form="closed", options=("yes", "no")),
    ),
    cost=Cost(1.5, 0.0, 0, 10, 2**31, 3.25),
    notes={"splits": [1, 2], "epoch": 3},
)


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path / "store")


def test_an_outcome_comes_back_to_the_last_digit(store):
    store.keep_outcome(OUTCOME)
    assert store.outcome("ab12") == OUTCOME


def keep_features(store, key, values, failed, seconds=0.0):
    with store.new_features(key) as new:
        room = new.room(values.shape)
        room[:] = values
        new.keep(Features(room, failed, seconds))


@pytest.mark.parametrize("shape", [(3, 4), (3, 0), (0, 0)])
def test_features_come_back_to_the_last_digit(store, shape):
    values = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    values[1:2] = np.nan
    keep_features(store, "cd34", values, {1: "x.png: truncated \udcff"}, 0.1 + 0.2)
    back = store.features("cd34")
    assert back.values.dtype == np.float32
    np.testing.assert_array_equal(back.values, values)
    assert (back.failed, back.seconds) == ({1: "x.png: truncated \udcff"}, 0.1 + 0.2)
    assert store.features("unknown") is None


def test_stored_features_stay_on_disk_and_cannot_be_written_to(store):
    keep_features(store, "cd34", np.zeros((1000, 64), np.float32), {})
    values = store.features("cd34").values
    assert isinstance(values.base, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        values[0] = 1


def test_features_that_are_not_kept_leave_nothing_behind(store):
    with store.new_features("cd34") as new:
        new.room((2, 2))[:] = 1
    assert store.features("cd34") is None
    assert not [path for path in store.folder.rglob("*") if path.is_file()]


def test_a_disk_without_room_is_told_before_anything_is_computed(store, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    with store.new_features("cd34") as new:
        with pytest.raises(OSError, match="No space"):
            new.room((2, 2))
        with pytest.raises(OSError, match="No such file"):
            new.keep(Features(np.zeros((2, 2), np.float32), {}))
    assert store.features("cd34") is None


def test_a_run_that_is_killed_half_way_leaves_older_features_whole_and_pruning_removes_its_own(store):
    keep_features(store, "cd34", np.ones((2, 2), np.float32), {})
    code = (
        "import pathlib, time; from medrival.store import Store\n"
        f"with Store(pathlib.Path({str(store.folder)!r})).new_features('cd34') as new:\n"
        " new.room((2, 2))[0] = 5; print('writing', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"writing\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    np.testing.assert_array_equal(store.features("cd34").values, np.ones((2, 2)))
    (left,) = store.folder.rglob(".writing-*")
    assert store.prune() == 0, "another run may be writing it"
    two_days_ago = time.time() - 2 * 86_400
    os.utime(left, (time.time(), two_days_ago))
    size = left.stat().st_size
    assert store.prune() == size
    assert not left.exists()
    assert store.features("cd34") is not None


@pytest.mark.parametrize(
    "damage", [b"", b"{", b"[]", b'{"key": "ab12"}', b"\xff\xfe", b"PK\x03\x04 cut off", b"\x93NUMPY\x01\x00"]
)
def test_a_damaged_file_counts_as_absent(store, damage):
    store.keep_outcome(OUTCOME).write_bytes(damage)
    assert store.outcome("ab12") is None
    for name in ("cd34.npy", "cd34.json"):
        keep_features(store, "cd34", np.zeros((1, 1), np.float32), {})
        (path,) = store.folder.rglob(name)
        path.write_bytes(damage)
        assert store.features("cd34") is None
        path.unlink()
        assert store.features("cd34") is None


def test_values_that_are_cut_off_count_as_absent(store):
    keep_features(store, "cd34", np.zeros((100, 10), np.float32), {})
    (path,) = store.folder.rglob("cd34.npy")
    os.truncate(path, path.stat().st_size - 4)
    assert store.features("cd34") is None


def test_nan_never_enters_an_outcome(store):
    with pytest.raises(ValueError, match="JSON"):
        store.keep_outcome(replace(OUTCOME, notes={"loss": float("nan")}))
    assert store.outcome("ab12") is None


def test_older_outcomes_can_be_refused(store):
    path = store.keep_outcome(OUTCOME)
    os.utime(path, (1000, 1000))
    assert store.outcome("ab12", newer_than=2000) is None
    assert store.outcome("ab12") == OUTCOME
    assert path.stat().st_mtime == 1000, "reading marks as used, not as measured"


def test_a_writer_that_is_killed_leaves_the_old_file_whole(tmp_path):
    target = tmp_path / "file"
    target.write_bytes(b"old")
    code = (
        "import sys, time, pathlib; from medrival.files import write_atomically\n"
        "def slowly(stream):\n stream.write(b'half'); stream.flush(); print('writing', flush=True); time.sleep(60)\n"
        f"write_atomically(pathlib.Path({str(target)!r}), slowly)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"writing\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert target.read_bytes() == b"old"


def test_a_write_that_fails_leaves_nothing_behind(tmp_path):
    def fail(stream):
        stream.write(b"half")
        raise OSError("no space left on device")

    with pytest.raises(OSError, match="no space"):
        write_atomically(tmp_path / "folder" / "file", fail)
    assert list((tmp_path / "folder").iterdir()) == []


def test_a_file_is_readable_by_whom_the_umask_says(tmp_path):
    (tmp_path / "plain").write_bytes(b"")
    write_atomically(tmp_path / "file", lambda stream: stream.write(b"x"))
    assert (tmp_path / "file").stat().st_mode == (tmp_path / "plain").stat().st_mode


def _hold(folder, order):
    with Store(folder).lock("key"):
        order.append("in")
        time.sleep(0.2)
        order.append("out")


def test_one_process_at_a_time_holds_a_key(store):
    with multiprocessing.get_context("spawn").Manager() as manager:
        order = manager.list()
        workers = [multiprocessing.get_context("spawn").Process(target=_hold, args=(store.folder, order)) for _ in range(2)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        assert list(order) == ["in", "out", "in", "out"]


def test_pruning_deletes_what_was_used_longest_ago(store):
    paths = [store.keep_outcome(replace(OUTCOME, key=key)) for key in ("aa", "bb", "cc")]
    for age, path in enumerate(paths):
        os.utime(path, (1000 + age, 1000))
    store.outcome("aa")
    size = paths[0].stat().st_size
    assert store.prune(2 * size) == size
    assert [path.exists() for path in paths] == [True, False, True]
    assert store.prune(2 * size) == 0


def test_pruning_leaves_adapters_whole_or_not_at_all(store):
    for age, key in enumerate(("aa", "bb")):
        store.adapters(key).mkdir(parents=True)
        for place, name in enumerate(("adapter_config.json", "adapter_model.safetensors")):
            (store.adapters(key) / name).write_bytes(b"x" * 10)
            os.utime(store.adapters(key) / name, (1000 + 10 * age + place, 1000))
    assert store.prune(30) == 20
    assert not store.adapters("aa").exists()
    assert len(list(store.adapters("bb").iterdir())) == 2


def test_a_key_depends_on_content_and_not_on_order():
    assert key_of({"a": 1, "b": [2]}) == key_of(json.loads('{"b": [2], "a": 1}'))
    assert key_of({"a": 1}) != key_of({"a": 2})
