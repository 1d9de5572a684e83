"""The language lessons of the pocket generators."""

from __future__ import annotations

import re

import numpy as np
import pytest

from medrival.models.pocket.words import KINDS, WORDS, exercise


@pytest.fixture(scope="module")
def exercises():
    dice = np.random.default_rng(0)
    return [exercise(dice) for _ in range(2000)]


def found(exercises, pattern):
    return [(one, match) for one in exercises if (match := re.fullmatch(pattern, one.text))]


def test_all_three_forms_of_answers_are_exercised(exercises):
    assert {one.form for one in exercises} == {"closed", "choice", "open"}
    assert {one.answer for one in exercises if one.form == "closed"} == {"yes", "no"}


def test_a_word_is_said_to_be_of_a_kind_where_it_is(exercises):
    asked = found(exercises, r"Is (\S+) a (.+)\?")
    assert len(asked) > 200
    assert all((one.answer == "yes") == (match[1] in KINDS[match[2]]) for one, match in asked)


def test_of_two_words_one_is_of_the_kind_asked_for(exercises):
    asked = found(exercises, r"Which is a (.+)\?")
    assert len(asked) > 200
    assert all([word for word in one.options if word in KINDS[match[1]]] == [one.answer] for one, match in asked)


def test_a_word_is_said_to_be_among_others_where_it_is(exercises):
    asked = found(exercises, r"Is (\S+) one of these words: (.+)\?")
    assert len(asked) > 100
    assert all((one.answer == "yes") == (match[1] in match[2].split()) for one, match in asked)


def test_the_first_or_last_word_is_the_answer_and_stands_among_the_options_once(exercises):
    asked = found(exercises, r"Which word is (first|last): (.+)\?")
    assert len(asked) > 100
    assert all(one.answer == match[2].split()[0 if match[1] == "first" else -1] for one, match in asked)
    assert all(one.options.count(one.answer) == 1 for one, _ in asked)


def test_what_is_to_be_repeated_is_the_answer(exercises):
    asked = found(exercises, r"Repeat: (.+)")
    assert len(asked) > 200
    assert all(one.answer == match[1] for one, match in asked)


def test_every_word_is_of_some_kind():
    assert len(WORDS) > 500
    assert all(word.isascii() and word == word.lower() for word in WORDS)
