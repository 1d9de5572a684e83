import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from medrival.reports.charts.placing import LETTER, LINE, beside, spread


@given(st.lists(st.floats(0, 1), max_size=12), st.floats(0.01, 0.2))
def test_spread_places_are_apart_and_in_order(places, gap):
    moved = spread(places, gap)
    order = np.argsort(places, kind="stable")
    assert all(np.diff(np.array(moved)[order]) >= gap - 1e-9) if places else moved == []


def test_places_with_room_stay():
    assert np.allclose(spread([0.1, 0.9, 0.5], 0.2), [0.1, 0.9, 0.5])


def test_words_beside_points_do_not_meet_and_stay_inside():
    points = [(float(x), float(y)) for x, y in np.random.default_rng(0).uniform(0, 300, (40, 2))]
    texts = [f"model {i}" for i in range(40)]
    boxes = []
    for place, text in zip(beside(points, texts, 300, 300), texts, strict=True):
        if place is None:
            continue
        left = place.x if place.align == "left" else place.x - LETTER * len(text)
        boxes.append((left, place.y - LINE / 2, left + LETTER * len(text), place.y + LINE / 2))
    assert len(boxes) > 10
    for i, (a, b, c, d) in enumerate(boxes):
        assert a >= 0
        assert c <= 300
        assert not any(a < g and e < c and b < h and f < d for e, f, g, h in boxes[i + 1 :])
