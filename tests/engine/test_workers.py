"""Threads, devices and precision of a worker."""

import os
import subprocess
import sys

import pytest

from medrival.workers import choose_device, choose_dtype


@pytest.mark.parametrize(("given", "used"), [(None, "1"), ("3", "3")])
def test_a_process_computes_with_one_thread_unless_the_user_says_otherwise(given, used):
    code = "from medrival.workers import limit_threads; limit_threads(); import torch; print(torch.get_num_threads())"
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    environment |= {"OMP_NUM_THREADS": given} if given else {}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == used


def test_a_named_device_is_taken_as_it_is():
    assert choose_device("cuda:1") == "cuda:1"
    assert choose_device("auto") in ("cpu", "cuda", "mps")


@pytest.mark.parametrize(
    ("wish", "device", "dtype"),
    [("auto", "cpu", "float32"), ("auto", "cuda:0", "bfloat16"), ("auto", "mps", "float32"), ("float16", "cpu", "float16")],
)
def test_precision_follows_the_device_unless_it_is_named(wish, device, dtype):
    assert choose_dtype(wish, device) == dtype
