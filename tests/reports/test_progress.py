"""Progress: what is known of a run under way, and how a terminal and a log show it."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from medrival.plan import Plan, Selection
from medrival.reports.course import Course, clipped, gpu_memory
from medrival.shards import BY_ESTIMATE, Work
from tests.reports.screen import Screen, in_terminal

NAMES = ("pocket-clip-phantom-chest-zero-shot", "pocket-clip-phantom-chest-lora", "pocket-medclip-phantom-chest-zero-shot")
A, B, C = NAMES
FIRST = "pocket-clip-phantom-histology-zero-shot"

STUDY = """
import time
import pytest
from medrival.session import PROGRESS

@pytest.fixture
def outcome(request):
    for _ in request.config.stash[PROGRESS](range(4), f"{request.param}: epoch 1/1"):
        time.sleep(0.1)
    return request.param

@pytest.mark.diagnosis
def test_diagnosis(outcome):
    print("printed by", outcome)
    assert "probe" not in outcome
"""
AT_ONCE = """
from medrival.reports import status_line
status_line.SECONDS_OF_PATIENCE = status_line.SECONDS_BETWEEN_LINES = 0.0
status_line.SECONDS_BETWEEN_FRAMES = 0.03
"""


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="module")
def plan(rows) -> Plan:
    return Plan.of(rows, Selection("pocket"))


@pytest.fixture
def course(plan, clock) -> Course:
    course = Course(plan, Work({A: 1_000, B: 10_000, C: 1_000, FIRST: 1_000}, BY_ESTIMATE), clock)
    course.collected([*NAMES, "something-else"])
    return course


def import_all(course: Course, clock: Clock) -> None:
    """The first case of a process, which takes longer than it will ever again."""
    course.collected([FIRST])
    course.began(FIRST)
    clock.now += 100.0
    course.ended(FIRST, stored=False)


def test_what_is_left_is_judged_by_what_was_done(course, clock):
    import_all(course, clock)
    assert course.left is None
    course.began(A)
    clock.now += 3.0
    course.ended(A, stored=False)
    assert course.left == pytest.approx(33.0)
    course.began(B)
    clock.now += 10.0
    assert course.left == pytest.approx(23.0)
    assert course.line() == f"medrival: 2 of 4 cases, 1:53, about 0:23 left; {B}"


def test_seconds_of_an_earlier_run_are_believed_before_a_case_is_done(plan, clock):
    course = Course(plan, Work({A: 1_000, B: 10_000}, "baseline/report.json"), clock)
    course.collected([A, B])
    assert course.left == pytest.approx(11.0)


def test_cases_of_the_store_say_nothing_of_the_time_that_others_take(course, clock):
    import_all(course, clock)
    course.began(A)
    course.ended(A, stored=True)
    assert course.left is None
    course.began(C)
    clock.now += 2.0
    course.ended(C, stored=False)
    assert course.left == pytest.approx(20.0)


def test_cases_that_run_side_by_side_share_the_time_that_is_left(plan, clock):
    course = Course(plan, Work({A: 1_000, B: 10_000, C: 1_000}, "baseline/report.json"), clock)
    course.collected(NAMES)
    for name in NAMES[1:]:
        course.began(name)
    assert course.left == pytest.approx(12.0 / 2)


def test_a_case_that_takes_longer_than_expected_is_not_counted_below_nothing(course, clock):
    import_all(course, clock)
    course.began(A)
    clock.now += 1.0
    course.ended(A, stored=False)
    course.began(C)
    clock.now += 100.0
    assert course.left == pytest.approx(10.0)


def test_failures_are_counted_once_a_test(course):
    course.began(A)
    course.failed(A)
    course.failed(A)
    course.ended(A, stored=False)
    assert "1 failed" in course.status(80)
    assert "1/3 cases" in course.status(80)


def test_where_only_pairs_or_audits_run_they_are_counted(plan, clock):
    course = Course(plan, Work({}, BY_ESTIMATE), clock)
    course.collected(["phantom-chest"])
    assert course.status(80).startswith("0/1 test ")


def test_a_session_without_a_case_of_ours_says_nothing(plan, clock):
    course = Course(plan, Work({}, BY_ESTIMATE), clock)
    course.collected(["test_something"])
    assert (course.line(), course.status(80)) == ("", "")


@pytest.mark.parametrize("running", [[], [A], NAMES, [f"{name}\x1b[2J{i}" for i, name in enumerate(NAMES)]])
@pytest.mark.parametrize("width", [*range(1, 60, 3), 79, 119, 500])
def test_the_line_fits_and_cannot_steer_the_terminal(plan, clock, running, width):
    course = Course(plan, Work(dict.fromkeys(NAMES, 1), BY_ESTIMATE), clock)
    course.collected(NAMES)
    course._plan = SimpleNamespace(cases=dict.fromkeys((*NAMES, *running)), pairs={}, tasks={})
    course.collected(running)
    for name in running:
        course.began(name)
    course.at(f"{A}: epoch 3/10\r\n", 45, 120)
    said = course.status(width)
    assert len(said) <= width
    assert said.isprintable()


def test_the_one_that_runs_is_shown_with_its_epoch_and_batch(course):
    course.began(A)
    course.at(f"{A}: epoch 3/10", 45, 120)
    assert course.status(79) == f"0/3 cases  0:00  {A}: epoch 3/10, 45/120"
    assert course.status(60).endswith("pocket-cli...-zero-shot: epoch 3/10, 45/120")
    assert course.status(30) == "0/3 cases  0:00  pocke...-shot"


def test_several_that_run_are_shown_as_long_as_their_names_are_legible(course):
    for name in NAMES:
        course.began(name)
    assert course.status(79).count("pocket") == 3
    assert course.status(40).endswith(" +2")


@pytest.mark.parametrize(("room", "short"), [(40, "a-model-task-regime"), (12, "a-mod...gime"), (3, "a...")])
def test_a_name_loses_its_middle_first(room, short):
    assert clipped("a-model-task-regime", room) == short[:room]


def test_gpu_memory_is_shown_where_cuda_runs_already_and_asked_of_nobody_else(monkeypatch):
    cuda = SimpleNamespace(
        is_initialized=lambda: True,
        device_count=lambda: 2,
        memory_reserved=lambda gpu: 12_340_000_000 * gpu,
        get_device_properties=lambda _: SimpleNamespace(total_memory=139_000_000_000),
    )
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    assert gpu_memory() == "GPU 12.3/139 GB"
    cuda.is_initialized = lambda: False
    assert gpu_memory() == ""
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace())  # while it is being imported
    assert gpu_memory() == ""


@pytest.fixture
def study(tmp_path) -> list[str]:
    (tmp_path / "test_study.py").write_text(STUDY)
    (tmp_path / "conftest.py").write_text(AT_ONCE)
    places = ["--store", str(tmp_path / "store"), "--report-dir", str(tmp_path / "report")]
    chosen = ["--models", "pocket-clip", "--tasks", "phantom-chest", "--regimes", "zero-shot,linear-probe"]
    return [sys.executable, "-m", "pytest", "-p", "medrival.plugin", "test_study.py", *chosen, *places]


needs_terminal = pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")


@needs_terminal
@pytest.mark.parametrize(("columns", "rows", "options"), [(80, 8, ["-v"]), (40, 24, []), (80, 24, ["-n2"])])
def test_the_line_stands_below_those_of_pytest_and_leaves_nothing_behind(study, tmp_path, columns, rows, options):
    chunks, _ = in_terminal([*study, *options], tmp_path, columns, rows, {})
    screen, shown = Screen(columns, rows), []
    for chunk in chunks:
        screen.feed(chunk)
        below = [line for line in screen.lines[screen.row + 1 :] if line]
        assert len(below) <= 1 or not chunk.endswith("\x1b8")
        shown += below if chunk.endswith("\x1b8") else []
    assert any("/2 cases" in line for line in shown)
    assert all(len(line) < columns for line in shown)
    assert columns == 40 or any("pocket-clip" in line for line in shown)
    assert not [line for line in screen.lines if "/2 cases" in line]
    if options == ["-v"]:
        text = "".join(line.ljust(columns) for line in screen.lines)
        assert "test_study.py::test_diagnosis[pocket-clip-phantom-chest-zero-shot] PASSED" in text
        assert "test_study.py::test_diagnosis[pocket-clip-phantom-chest-linear-probe] FAILED" in text
    elif not options:
        assert "test_study.py .F " in [line[:17] for line in screen.lines]


@needs_terminal
def test_a_terminal_that_becomes_narrower_has_a_line_that_fits(study, tmp_path):
    chunks, _ = in_terminal(study, tmp_path, 80, 24, {}, narrower=50)
    shown = [drawn.rpartition("\n")[2] for chunk in chunks for drawn in chunk.split("\x1b8")[:-1]]
    assert max(map(len, shown[-3:])) <= 49 + len("\x1b[?7l\x1b[?7h")


@needs_terminal
@pytest.mark.parametrize(("options", "environment"), [(["-q"], {}), (["-s"], {}), ([], {"CI": "true"})])
def test_nothing_moves_where_it_would_not_be_seen_or_be_in_the_way(study, tmp_path, options, environment):
    _, seen = in_terminal([*study, *options], tmp_path, 80, 24, environment)
    assert not {"\x1b7", "\x1b8", "\x1b[J"} & {code for code in ("\x1b7", "\x1b8", "\x1b[J") if code in seen}
    assert ("medrival: 0 of 2 cases" in seen) == (options != ["-q"])


@pytest.mark.parametrize("options", [[], ["-n2"]])
def test_a_log_gets_whole_lines_now_and_then(study, tmp_path, options):
    done = run(study, options, tmp_path)
    said = [line for line in done.splitlines() if " of 2 cases" in line]
    assert said
    assert all(line.startswith("medrival: ") for line in said)
    assert "\x1b" not in done
    assert options or any(line.endswith("epoch 1/1, 3/4") for line in said)


def test_a_log_of_a_short_run_is_pytest_s_alone(study, tmp_path):
    (tmp_path / "conftest.py").unlink()
    assert " of 2 cases" not in run(study, [], tmp_path)


def run(study: list[str], options: list[str], folder: Path) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "CI"}
    done = subprocess.run([*study, *options], cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr
