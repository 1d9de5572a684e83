"""What a study's terminal is spared."""

import os
import subprocess
import sys

import pytest

TESTS = """
import os, warnings
import pytest
from medrival.errors import MedrivalWarning

@pytest.fixture
def outcome(request):
    warnings.warn("say it otherwise", FutureWarning)
    warnings.warn("say it no more", DeprecationWarning)
    warnings.warn("the scores are wrong", RuntimeWarning)
    warnings.warn("the store is full", MedrivalWarning)
    assert os.environ["TOKENIZERS_PARALLELISM"] == os.environ.get("WANTED", "false")
    return request.param

@pytest.mark.diagnosis
def test_diagnosis(outcome): pass

def test_of_a_project():
    warnings.warn("heard by its programmers", FutureWarning)
"""


@pytest.fixture
def said(tmp_path):
    def run(*options: str, **environment: str) -> str:
        (tmp_path / "test_them.py").write_text(TESTS)
        chosen = ("--models", "pocket-clip", "--tasks", "phantom-chest", "--regimes", "zero-shot")
        places = ("--store", str(tmp_path / "store"), "--report-dir", str(tmp_path / "report"))
        variables = {name: value for name, value in os.environ.items() if name != "TOKENIZERS_PARALLELISM"}
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-p", "medrival.plugin", "test_them.py", *chosen, *places, *options],
            cwd=tmp_path,
            env=variables | environment,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout + done.stderr

    return run


def test_what_libraries_tell_programmers_is_kept_from_the_end_of_a_study_and_what_tells_of_numbers_is_not(said):
    output = said()
    assert "2 passed" in output
    assert "say it" not in output
    assert "the scores are wrong" in output
    assert "the store is full" in output
    assert "heard by its programmers" in output


def test_who_asks_for_warnings_and_settings_has_them(said):
    output = said("-W", "default", "-v", TOKENIZERS_PARALLELISM="true", WANTED="true")
    assert "2 passed" in output
    assert "say it otherwise" in output
    assert "say it no more" in output
    assert "benchmark: " in output


@pytest.mark.parametrize("options", [(), ("-n2",)])
def test_settings_of_benchmarks_are_no_line_of_a_run_without_any(said, options):
    output = said(*options)
    assert "2 passed" in output
    assert "benchmark: " not in output
    assert "Benchmarks are" not in output
