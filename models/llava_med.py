"""LLaVA-Med v1.5 and HuatuoGPT-Vision as they are published, in LLaVA's own layout: each is asked in a prompt of its own.

Facts: the code at github.com/microsoft/LLaVA-Med (conversation.py, `mistral_instruct`) and
github.com/FreedomIntelligence/HuatuoGPT-Vision (cli.py).
"""

from __future__ import annotations

from pathlib import Path

from medrival.catalog import ModelCard
from medrival.contracts import Generator
from medrival.models.llava_layout import converted

MISTRAL_INSTRUCT = (
    "{% for turn in messages %}"
    "{% if turn.role == 'user' %}[INST] {{ turn.content }} [/INST]{% else %} {{ turn.content }} </s>{% endif %}"
    "{% endfor %}"
)
HUATUO = (
    "{% for turn in messages %}{{ '<|' + turn.role + '|>\\n' + (turn.content | trim) }}"
    "{{ '\\n' if turn.role == 'user' else ' \\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}"
)


def llava_med(card: ModelCard, folder: Path, device: str, dtype: str) -> Generator:
    """LLaVA-Med v1.5, or another checkpoint of its layout that is asked as it is.

    Raises:
        BrokenModel: another layout; weights that are missing, misshapen or left over; no tokenizer.
        OutOfMemory: the weights do not fit.
    """
    return converted(card, folder, device, dtype, {"llava_mistral"}, MISTRAL_INSTRUCT)


def huatuogpt_vision(card: ModelCard, folder: Path, device: str, dtype: str) -> Generator:
    """HuatuoGPT-Vision 7B (on Qwen2) and 34B (on Yi, which is a Llama), or another checkpoint that is asked as they are.

    Raises:
        BrokenModel: see `llava_med`.
        OutOfMemory: the weights do not fit.
    """
    return converted(card, folder, device, dtype, {"llava_qwen2", "llava_llama"}, HUATUO)
