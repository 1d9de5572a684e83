"""What is recorded about checkout, packages and machine."""

import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from medrival.reports.environment import environment


def git(folder: Path, *command: str) -> str:
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
    return subprocess.run(["git", *identity, *command], cwd=folder, check=True, capture_output=True, text=True).stdout


def test_outside_a_checkout_there_is_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert environment()["git"] == {"commit": None, "dirty": None}


def test_commit_and_uncommitted_changes_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    git(tmp_path, "init", "-q")
    assert environment()["git"] == {"commit": None, "dirty": None}
    git(tmp_path, "commit", "-q", "--allow-empty", "-m", "x")
    commit = git(tmp_path, "rev-parse", "HEAD").strip()
    assert environment()["git"] == {"commit": commit, "dirty": False}
    (tmp_path / "new").write_text("")
    assert environment()["git"] == {"commit": commit, "dirty": True}


def test_packages_have_the_installed_versions_and_the_machine_is_described() -> None:
    found = environment()
    assert found["packages"]["numpy"] == version("numpy")
    assert found["packages"]["python"] == sys.version.split()[0]
    assert found["hardware"]["cores"] >= 1
    assert found["hardware"]["memory_bytes"] > 1e8
    assert json.loads(json.dumps(found)) == found


def test_neither_asking_nor_summing_up_imports_torch() -> None:
    code = (
        "import sys, medrival.reports.json_report, medrival.reports.summary, medrival.reports.html;"
        "from medrival.reports.environment import environment; environment(); sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
