"""Threads, devices and precision of a worker."""

import os
import subprocess
import sys

import pytest

from medrival.workers import choose_device, choose_dtype


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


def test_a_named_device_is_taken_as_it_is():
    assert choose_device("cuda:1") == "cuda:1"
    assert choose_device("auto") in ("cpu", "cuda", "mps")


@pytest.mark.parametrize(
    ("wish", "device", "dtype"),
    [("auto", "cpu", "float32"), ("auto", "cuda:0", "bfloat16"), ("auto", "mps", "float32"), ("float16", "cpu", "float16")],
)
def test_precision_follows_the_device_unless_it_is_named(wish, device, dtype):
    assert choose_dtype(wish, device) == dtype
