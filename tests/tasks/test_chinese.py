"""How questions in Chinese are asked, and how their answers are read."""

from __future__ import annotations

import pytest

from medrival.tasks.answers import read
from medrival.tasks.chinese import OPTIONS, polar, written
from medrival.tasks.prompts import ask, reasoned


@pytest.mark.parametrize(
    ("answer", "stated"),
    [
        *[
            (text, "是")
            for text in ("是", "是的", "是的。", "对", "有", "有的", "存在", "包含", "能", "可以", "含有", "肯定的")
        ],
        *[
            (text, "否")
            for text in ("否", "不是", "不是的。", "没有", "没", "无", "不", "不对", "不存在", "不包含", "不能", "否定的")
        ],
        ("是的，图中有肺。", "是"),
        ("是的，没有异常。", "是"),
        ("不，图中没有肝脏。", "否"),
        ("不是，这是一张CT图像。", "否"),
        ("没有，这是正常的。", "否"),
        ("答案：是", "是"),
        ("答案是否", "否"),
        ("答案是否定的。", "否"),
        ("答案是“否”。", "否"),
        ("答案是：没有。", "否"),
        ("图中可以看到肺，所以答案是是。", "是"),
        ("先看左侧，答案是否。再看右侧，答案是是。", "是"),
        ("我认为不是。", "否"),
        ("根据图像，是。", "是"),
        ("**是**", "是"),
        ("\\boxed{否}", "否"),
        ("<think>是，不对，不是</think>是", "是"),
        ("<think>是", None),
        ("Yes", "是"),
        ("No, there is none.", "否"),
        ("Yes，图中有肺。", "是"),
        ("No, 图中没有肺", "否"),
        ("Yes（是）", "是"),
        ("Yes。不是。", None),
        ("No, 是的", None),
        ("并没有。", "否"),
        ("并不是", "否"),
        ("Yes or no", None),
        ("是。不是。", None),
        ("是或否", None),
        ("是/否", None),
        ("是否", None),
        ("答案是肺", None),
        ("没有肺", None),  # it denies or affirms by what was asked
        ("图中有肺。", None),
        ("无法判断", None),
        ("肺", None),
        ("", None),
    ],
)
def test_yes_and_no_are_read_in_chinese_or_are_neither(answer, stated):
    assert read(answer, OPTIONS) == stated


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("包含", "是"),
        ("不包含", "否"),
        ("有", "是"),
        ("无", "否"),
        ("否", "否"),
        ("健康", None),
        ("肺", None),
        ("不健康", None),
        ("CT", None),
    ],
)
def test_a_true_answer_is_yes_or_no_only_where_it_is_no_finding(answer, said):
    assert polar(answer) == said


def test_a_chinese_yes_does_not_answer_an_english_question():
    assert read("是", ("yes", "no")) is None


def test_a_question_in_chinese_is_asked_in_chinese_and_others_are_not():
    assert ask("closed", "图中有肺吗？", OPTIONS) == "请用“是”或“否”回答下面关于图像的问题。图中有肺吗？"
    assert ask("closed", "图中有肺吗？") == ask("closed", "图中有肺吗？", OPTIONS)
    assert ask("open", "这是什么？") == "这是什么？\n请简洁地回答问题。"
    assert ask("choice", "这是什么？", ("肺", "肝")) == "这是什么？\n选项：\n(A) 肺\n(B) 肝\n请只回答最佳选项的字母。"
    assert not any(written(question) for question in ("Is there a lung?", "肺はありますか。", "5 \u00b5m?", ""))


@pytest.mark.parametrize(
    ("question", "options", "steps"),
    [
        ("Which sign is shown?", ("雪人", "other"), "Reason step by step"),
        ("图中是什么？", ("ヒト", "肺"), "请先逐步推理"),
    ],
)
def test_steps_are_asked_for_in_the_language_of_the_question_whatever_that_of_its_options(question, options, steps):
    asked = ask("choice", question, options)
    assert reasoned(asked).removeprefix(f"{asked}\n").startswith(steps)
