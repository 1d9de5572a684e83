"""Whether pytest was led astray by an option of ours when it chose its root, where it keeps its cache."""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path

import pytest


def misled(config: pytest.Config) -> list[str]:
    """What to say of a root that has nothing to do with the folder that pytest was started in, but with an option's value.

    pytest chooses its root before it loads plugins: what stands apart from an option it does not know yet, it takes for tests.
    """
    root, here = config.rootpath, config.invocation_params.dir
    if here.is_relative_to(root) or config.getoption("rootdir") or config.getoption("inifilename"):
        return []
    apart = [
        f"{option}={value}"
        for option, value in pairwise(map(str, config.invocation_params.args))
        if option.startswith("--") and Path(os.path.abspath(here / value)).is_relative_to(root)
    ]
    return [f"medrival: pytest took {root} for its root and keeps its cache there; write {' '.join(apart)}"] if apart else []
