"""Threads, devices and precision of a worker."""

import functools
import os
import subprocess
import sys

import pytest
from filelock import FileLock, Timeout

from medrival import workers
from medrival.errors import MissingDevice
from medrival.workers import _leased_gpu, choose_device, choose_dtype, gpus_beside, refuse_absent


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
    monkeypatch.delenv("PYTEST_XDIST_WORKER_COUNT", raising=False)
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


@pytest.mark.parametrize(
    ("wish", "device", "dtype"),
    [("auto", "cpu", "float32"), ("auto", "cuda:0", "bfloat16"), ("auto", "mps", "float32"), ("float16", "cpu", "float16")],
)
def test_precision_follows_the_device_unless_it_is_named(wish, device, dtype):
    assert choose_dtype(wish, device) == dtype
