"""What is installed elsewhere: the wheel holds every subpackage, catalog and weight file, and runs from an empty folder."""

import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The wheel of what git would check out, built without network."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, check=True
    )
    for name in listed.stdout.decode().split("\0"):
        if name and (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    built = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(source)]
    subprocess.run(built, capture_output=True, text=True, check=True)
    (path,) = out.glob("*.whl")
    return path


def test_every_module_catalog_weight_and_report_file_is_in_the_wheel(wheel):
    with zipfile.ZipFile(wheel) as archive:
        inside = set(archive.namelist())
    mapping = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-dir"]
    folders = {folder: package for package, folder in mapping.items()}
    expected = set()
    for folder in ("medrival", "benchmarks", "fixtures", "models", "regimes", "reports", "tasks"):
        for path in (ROOT / folder).rglob("*"):
            hidden = {"__pycache__", "latest"} & set(path.relative_to(ROOT).parts)
            if path.is_file() and not hidden and not path.name.startswith("."):
                expected.add(f"{folders[folder].replace('.', '/')}/{path.relative_to(ROOT / folder).as_posix()}")
    assert expected - inside == set()
    assert any(name.endswith("pocket/medllava/model.safetensors") for name in inside)


def test_every_folder_with_code_is_a_declared_package():
    declared = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-dir"].values())
    found = {
        path.parent.relative_to(ROOT).as_posix()
        for folder in ("medrival", "benchmarks", "fixtures", "models", "regimes", "reports", "tasks")
        for path in (ROOT / folder).rglob("__init__.py")
    }
    assert found == declared


def test_the_suite_runs_from_the_wheel_in_an_empty_folder(wheel, tmp_path):
    """The wheel is unpacked before everything else on the path: no file of the checkout is used."""
    site, empty = tmp_path / "site", tmp_path / "empty"
    empty.mkdir()
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    code = (
        f"import sys; sys.path.insert(0, {str(site)!r}); import medrival; print(medrival.__file__)\n"
        "import pytest; sys.exit(pytest.main())"
    )
    arguments = ["-p", "medrival.plugin", "--pyargs", "medrival.benchmarks", "--store", str(tmp_path / "store")]
    arguments += ["--limit", "12", "--models", "pocket-medclip", "--tasks", "phantom-chest", "--regimes", "zero-shot"]
    done = subprocess.run([sys.executable, "-c", code, *arguments], cwd=empty, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert str(site) in done.stdout.splitlines()[0]
    assert (empty / "reports" / "latest" / "report.html").is_file()
