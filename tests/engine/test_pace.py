"""How many questions are under way: never more than there is room for, and as many as an endpoint bears."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from hypothesis import given, settings
from hypothesis import strategies as st

from medrival.pace import Pace


def test_no_more_are_under_way_than_there_is_room_for():
    pace, lock, under_way, most = Pace(3, 3), threading.Lock(), [0], [0]
    together = threading.Barrier(3, timeout=10)

    def work(_: int) -> None:
        with pace.place():
            with lock:
                under_way[0] += 1
                most[0] = max(most[0], under_way[0])
            together.wait()  # breaks unless exactly three are here at once
            with lock:
                under_way[0] -= 1

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(work, range(12)))
    assert most == [3]


def test_a_round_of_answers_makes_room_for_one_more_up_to_the_most():
    pace = Pace(4, 6)
    for _ in range(5):
        pace.answered()
    assert pace.room == 5
    for _ in range(50):
        pace.answered()
    assert pace.room == 6


def test_those_who_are_refused_together_halve_the_room_once():
    pace = Pace(8)
    begun = pace.turn
    for _ in range(8):
        pace.refused(begun)
    assert pace.room == 4
    pace.refused(pace.turn)
    assert pace.room == 2


def test_room_that_grows_lets_those_in_who_wait():
    pace, inside = Pace(1, 2), threading.Event()

    def enter() -> None:
        with pace.place():
            inside.set()

    with pace.place():
        threading.Thread(target=enter, daemon=True).start()
        assert not inside.is_set()
        pace.answered()
        assert inside.wait(10)


@settings(deadline=None)
@given(st.lists(st.booleans()), st.integers(1, 40))
def test_there_is_always_room_for_one_and_never_for_more_than_the_most(events, start):
    pace = Pace(start, 40)
    for answered in events:
        pace.answered() if answered else pace.refused(pace.turn)
        assert 1 <= pace.room <= 40
