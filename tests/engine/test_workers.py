"""Threads, devices and precision of a worker."""

import functools
import os
import subprocess
import sys

import pytest
from filelock import FileLock, Timeout

from medrival import workers
from medrival.errors import MissingDevice
from medrival.workers import _leased_gpu, choose_device, choose_dtype, free_memory, gpus_beside, refuse_absent


def threads(**given: str) -> list[str]:
    code = (
        "import os; from medrival.workers import limit_threads; limit_threads()\n"
        "import torch; print(os.environ['OMP_NUM_THREADS'], os.environ['MKL_NUM_THREADS'], torch.get_num_threads())"
    )
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")} | given
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_a_process_computes_with_one_thread():
    assert threads() == ["1", "1", "1"]


def test_a_number_of_threads_that_the_user_sets_is_kept():
    assert threads(OMP_NUM_THREADS="3")[:2] == ["3", "3"]


def test_float32_on_a_gpu_is_computed_in_float32():
    code = (
        "import torch; torch.backends.cuda.matmul.allow_tf32 = True\n"
        "from medrival.workers import repeatable_cuda; repeatable_cuda()\n"
        "print(torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_a_named_device_is_taken_as_it_is(tmp_path):
    assert choose_device("cpu", tmp_path) == "cpu"
    assert choose_device("auto", tmp_path).partition(":")[0] in ("cpu", "cuda", "mps")


@pytest.mark.parametrize("wish", ["cuda:99", "cuda:x"])
def test_a_device_that_is_not_there_is_named_beside_those_that_are(wish, tmp_path):
    with pytest.raises(MissingDevice, match=f"--device {wish}: this machine has no such device; torch finds cpu"):
        choose_device(wish, tmp_path)


@pytest.fixture
def gpus(monkeypatch):
    """Pretends so many GPUs, in a process that holds none yet."""
    import torch

    monkeypatch.setattr(workers, "_held", {})
    for variable in ("PYTEST_XDIST_WORKER_COUNT", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(variable, raising=False)
    return lambda count: monkeypatch.setattr(torch.cuda, "device_count", lambda: count)


def test_a_device_that_is_there_may_be_asked_for_by_name(gpus, tmp_path):
    gpus(2)
    for wish in ("auto", "cpu", "cuda", "cuda:1"):
        refuse_absent(wish)
    assert choose_device("cuda:1", tmp_path) == "cuda:1"
    with pytest.raises(MissingDevice, match=r"torch finds cpu, cuda:0, cuda:1$"):
        refuse_absent("cuda:2")


def test_no_two_processes_hold_one_gpu_and_a_dead_one_lets_go(tmp_path, gpus):
    code = (
        "from pathlib import Path; from medrival.workers import _leased_gpu\n"
        f"print(_leased_gpu(2, Path({str(tmp_path)!r})), flush=True); input()"
    )
    start = functools.partial(subprocess.Popen, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    holders = [start([sys.executable, "-c", code]) for _ in range(2)]
    assert sorted(holder.stdout.readline().strip() for holder in holders) == ["cuda:0", "cuda:1"]
    with pytest.raises(MissingDevice, match=r"all GPUs of this machine \(2\) are in use by other workers; run with -n 2"):
        _leased_gpu(2, tmp_path)
    for holder in holders:
        holder.kill()
        holder.wait()
    assert _leased_gpu(2, tmp_path) == "cuda:0"


def test_the_gpus_beside_ones_own_are_those_that_no_other_worker_holds_and_are_then_held(tmp_path, gpus):
    gpus(4)
    other = FileLock(tmp_path / "gpu-0.lock")
    other.acquire(timeout=0)
    assert _leased_gpu(4, tmp_path) == "cuda:1"
    late = FileLock(tmp_path / "gpu-2.lock")
    late.acquire(timeout=0)
    late.release()
    assert gpus_beside("cuda:1") == [2, 3]
    with pytest.raises(Timeout):
        late.acquire(timeout=0)
    other.release()
    assert gpus_beside("cuda:1") == [0, 2, 3], "what has become free in between, and what was taken before"


def test_beside_a_device_that_the_user_named_are_all_others_but_not_among_several_workers(gpus, monkeypatch):
    gpus(3)
    assert gpus_beside("cuda:1") == [0, 2]
    assert gpus_beside("cpu") == []
    monkeypatch.setenv("PYTEST_XDIST_WORKER_COUNT", "2")
    assert gpus_beside("cuda:1") == []


@pytest.fixture
def fractions(gpus, monkeypatch) -> dict[int, float]:
    """What part of each pretended GPU's memory torch was told that this process may take."""
    import torch

    told: dict[int, float] = {}
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", lambda part, gpu: told.update({gpu: part}))
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (70_000, 80_000))
    gpus(2)
    return told


def another_worker(monkeypatch) -> None:
    """From here on this process is like another: what it held stays locked, but it knows nothing of it."""
    monkeypatch.setattr(workers, "_held", {})


def test_workers_share_a_gpu_only_when_asked_and_each_has_its_part_of_the_memory(tmp_path, fractions, monkeypatch):
    held = []
    for expected in ("cuda:0", "cuda:0", "cuda:1", "cuda:1"):
        assert _leased_gpu(2, tmp_path, 2) == expected
        assert fractions == {int(expected[-1]): 0.5}
        assert free_memory(int(expected[-1])) == 40_000, "half of the whole, of which more is free"
        assert free_memory(1 - int(expected[-1])) == 70_000, "of a GPU that is not this process's"
        held.append(workers._held)
        fractions.clear()
        another_worker(monkeypatch)
    with pytest.raises(MissingDevice, match=r"run with -n 4, let more share one with --workers-per-gpu"):
        _leased_gpu(2, tmp_path, 2)


def test_one_gpu_a_worker_is_all_of_its_memory(tmp_path, fractions):
    assert _leased_gpu(2, tmp_path) == "cuda:0"
    assert fractions == {}
    assert free_memory(0) == 70_000


def test_a_gpu_of_which_one_worker_has_a_part_is_not_given_whole_nor_divided_otherwise(tmp_path, fractions, monkeypatch):
    assert _leased_gpu(2, tmp_path, 2) == "cuda:0"
    part = workers._held
    another_worker(monkeypatch)
    assert _leased_gpu(2, tmp_path) == "cuda:1"
    whole = workers._held
    another_worker(monkeypatch)
    monkeypatch.setattr(workers, "SECONDS_AT_ENTRANCE", 0.05)
    with pytest.raises(MissingDevice):
        _leased_gpu(2, tmp_path, 3)
    assert part
    assert whole


def test_a_dead_worker_lets_go_of_its_part(tmp_path, fractions):
    code = (
        "import torch; torch.cuda.set_per_process_memory_fraction = lambda *_: None\n"
        "from pathlib import Path; from medrival.workers import _leased_gpu\n"
        f"print(_leased_gpu(1, Path({str(tmp_path)!r}), 2), flush=True); input()"
    )
    start = functools.partial(subprocess.Popen, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    holders = [start([sys.executable, "-c", code]) for _ in range(2)]
    assert [holder.stdout.readline().strip() for holder in holders] == ["cuda:0", "cuda:0"]
    with pytest.raises(MissingDevice):
        _leased_gpu(1, tmp_path, 2)
    for holder in holders:
        holder.kill()
        holder.wait()
    assert _leased_gpu(1, tmp_path, 2) == "cuda:0"


def test_runs_that_see_different_gpus_as_their_first_do_not_wait_for_each_other(tmp_path, gpus, monkeypatch):
    gpus(1)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert _leased_gpu(1, tmp_path) == "cuda:0"
    first = workers._held
    another_worker(monkeypatch)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert _leased_gpu(1, tmp_path) == "cuda:0"
    second = workers._held
    another_worker(monkeypatch)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3, 1 ,0")
    gpus(3)
    assert _leased_gpu(3, tmp_path) == "cuda:0"
    assert gpus_beside("cuda:0") == [], "1 and 0 are others', whatever their number here"
    assert first
    assert second


def test_a_named_gpu_is_shared_only_when_asked(tmp_path, fractions, monkeypatch):
    monkeypatch.setenv("PYTEST_XDIST_WORKER_COUNT", "3")
    with pytest.raises(MissingDevice, match="--device cuda:1: 3 workers would share it; run with -n 1, allow more with"):
        choose_device("cuda:1", tmp_path)
    held = []
    for _ in range(2):
        assert choose_device("cuda:1", tmp_path, 2) == "cuda:1"
        assert fractions == {1: 0.5}
        held.append(workers._held)
        another_worker(monkeypatch)
    with pytest.raises(MissingDevice, match="run with -n 2"):
        choose_device("cuda:1", tmp_path, 2)


@pytest.mark.parametrize(
    ("wish", "device", "dtype"),
    [("auto", "cpu", "float32"), ("auto", "cuda:0", "bfloat16"), ("auto", "mps", "float32"), ("float16", "cpu", "float16")],
)
def test_precision_follows_the_device_unless_it_is_named(wish, device, dtype):
    assert choose_dtype(wish, device) == dtype
