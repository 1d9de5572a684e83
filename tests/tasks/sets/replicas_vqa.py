"""Small replicas of the published question sets: their files, columns, types and quirks, with values of our own.

`python tests/tasks/sets/replicas_vqa.py DIR` writes all of them below DIR/datasets, where `--assets DIR` finds them. Where a
schema was read is in docs/data.md.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZipFile

from datasets import Dataset, Features, Value
from datasets import Image as Picture
from PIL import Image as PILImage

QUESTIONS = Features({"image": Picture(), "question": Value("string"), "answer": Value("string")})


def picture(shade: int, kind: str = "PNG") -> bytes:
    """A 4 by 4 image of one colour, the same bytes for the same shade."""
    stream = BytesIO()
    PILImage.new("RGB", (4, 4), (shade, 255 - shade, 7)).save(stream, kind)
    return stream.getvalue()


def cell(shade: int) -> dict[str, Any]:
    return {"bytes": picture(shade), "path": None}


def questions(folder: Path, splits: Mapping[str, Sequence[tuple[int, str, str]]], shards: int = 1) -> None:
    """The layout of `datasets`' own uploads: parquet files by split, each image within its row."""
    for split, rows in splits.items():
        columns = zip(*rows, strict=True)
        shades, asked, answers = (list(column) for column in columns)
        whole = Dataset.from_dict(
            {"image": [cell(shade) for shade in shades], "question": asked, "answer": answers}, features=QUESTIONS
        )
        for shard in range(shards):
            path = folder / "data" / f"{split}-{shard:05d}-of-{shards:05d}.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            whole.shard(shards, shard, contiguous=True).to_parquet(path)


def vqa_rad(folder: Path) -> None:
    asked = [("is there a fracture?", "no"), ("what organ is shown?", "the heart"), ("is it normal?", "Yes")]
    train = [(shade, *asked[shade % 3]) for shade in range(40)]
    questions(folder, {"train": train, "test": [(shade, *asked[shade % 3]) for shade in range(6)]})


def path_vqa(folder: Path) -> None:
    """Several questions an image, as there are 6,719 test questions about 858 images; no answer is capitalised."""
    asked = [("where are liver stem cells located?", "in the canals of hering"), ("is this a smear?", "yes"), ("is it?", "no")]
    rows = [(shade // 3, *asked[shade % 3]) for shade in range(30)]
    parts = {"train": rows, "validation": rows[:6], "test": [(100 + shade, *said) for shade, *said in rows[:9]]}
    questions(folder, parts, shards=2)


def slake(folder: Path) -> None:
    said = [
        ("What modality is used to take this image?", "CT", "en", "OPEN", "Modality"),
        ("Does the picture contain lung?", "Yes", "en", "CLOSED", "Organ"),
        ("Which is bigger, lung or heart?", "Lung", "en", "CLOSED", "Size"),
        ("图中包含肺吗？", "包含", "zh", "CLOSED", "Organ"),
        ("图像的成像方式是什么？", "CT", "zh", "OPEN", "Modality"),
    ]
    number = 0
    for split, images in {"train": range(1, 31), "validation": (31, 32), "test": (33, 34)}.items():
        rows = []
        for image in images:
            for question, answer, language, form, content in said:
                about = {"img_id": image, "img_name": f"xmlab{image}/source.jpg", "question": question, "answer": answer}
                kind = {"q_lang": language, "location": "Lung", "modality": "CT", "answer_type": form, "base_type": "vqa"}
                rows.append(about | kind | {"content_type": content, "triple": ["vhead", "_", "_"], "qid": number})
                number += 1
        write_json(folder / f"{split}.json", rows)
    archive(folder / "imgs.zip", {f"imgs/xmlab{image}/source.jpg": picture(image, "JPEG") for image in range(1, 35)})


def pmc_vqa(folder: Path) -> None:
    """The last of version 1's questions is about a missing image; letters stand before choices, after a space."""
    choices = [f" {letter}: {text} " for letter, text in zip("ABCD", ("Left lung", "B", "MRI", "A"), strict=True)]
    named = dict(zip((f"Choice {letter}" for letter in "ABCD"), choices, strict=True))
    answers = ("Left lung", "B", "MRI", "A")
    table = [
        {"Figure_path": f"PMC{i}_F2.jpg", "Question": " What is shown? ", "Answer": answers[i % 4], **named}
        | {"Answer_label": "ABCD"[i % 4]}
        for i in range(20)
    ]
    write_csv(folder / "train.csv", table[:16])
    write_csv(folder / "test_clean.csv", table[16:])
    archive(folder / "images.zip", {f"images/PMC{i}_F2.jpg": picture(i, "JPEG") for i in range(19)})
    for split, first, count in (("train", 0, 24), ("test", 24, 8)):
        table = [
            {
                "index": i,
                "Figure_path": f"PMC{i}_Fig1_1.jpg",
                "Caption": "A figure, with a comma.",
                "Question": "What is shown?",
            }
            | {**named, "Answer": "ABCD"[i % 4], "split": split}
            for i in range(first, first + count)
        ]
        write_csv(folder / f"{split}_2.csv", table)
    archive(folder / "images_2.zip", {f"figures/PMC{i}_Fig1_1.jpg": picture(100 + i, "JPEG") for i in range(32)})


def omnimedvqa(folder: Path) -> None:
    def row(source: str, number: int, answer: str, *options: str, **more: str) -> dict[str, str]:
        path = f"Images/{source}/Im{number:03d}.png"
        said = {"dataset": source, "question_id": f"{source}_{number:04d}", "question_type": "Disease Diagnosis"}
        said |= {"question": "What is seen?", "gt_answer": answer, "image_path": path}
        return said | {f"option_{letter}": text for letter, text in zip("ABCD", options, strict=False)} | more

    fundus, ct = {"modality_type": "Fundus Photography"}, {"modality_type": "CT(Computed Tomography)"}
    acrima = [row("ACRIMA", i, "Glaucoma", "PET scan", "Glaucoma", "None", "Cataract", **fundus) for i in range(20)]
    chest = [
        row("Chest CT Scan", 0, "No, It's normal.", "Yes, it is.", "No, It's normal.", **ct),
        row("Chest CT Scan", 1, "Nodule", "nodule.", "mass", "cyst", modality="CT(Computed Tomography)"),
    ]
    below = "OmniMedVQA/QA_information"
    tables = {f"{below}/Open-access/ACRIMA.json": acrima, f"{below}/Open-access/Chest CT Scan.json": chest}
    tables[f"{below}/Restricted-access/AIDA.json"] = [row("AIDA", 0, "Yes", "Yes", "No", **ct)]
    content = {name: json.dumps(rows).encode() for name, rows in tables.items()}
    pictures = {f"OmniMedVQA/{one['image_path']}": picture(i) for i, one in enumerate([*acrima, *chest])}
    archive(folder / "OmniMedVQA.zip", content | pictures)


def medxpertqa(folder: Path) -> None:
    """Choices that are letters of the figure's labels, in another order than their own; one, two and three images."""
    options = {"A": "C", "B": "D", "C": "A", "D": "B", "E": "None of the above"}
    listed = " ".join(f"({letter}) {text}" for letter, text in options.items())

    def row(number: int) -> dict[str, Any]:
        images = [f"MM-{number}-{letter}.jpeg" for letter in "abc"[: number % 3 + 1]]
        said = {"id": f"MM-{number}", "question": f"Which artery is labelled?\nAnswer Choices: {listed}", "options": options}
        kind = {"medical_task": "Basic Medicine", "body_system": "Cardiovascular"}
        skill = ("Reasoning", "Understanding")[number % 2]
        return said | {"label": "ABCDE"[number % 5], "images": images, **kind, "question_type": skill}

    for name, rows in {"dev": [row(2000 + i) for i in range(5)], "test": [row(i) for i in range(20)]}.items():
        path = folder / "MM" / f"{name}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(one) + "\n" for one in rows))
    names = [f"MM-{number}-{letter}.jpeg" for number in (*range(20), *range(2000, 2005)) for letter in "abc"]
    archive(folder / "images.zip", {f"images/{name}": picture(i, "JPEG") for i, name in enumerate(names)})


def mmmu(folder: Path) -> None:
    """Of three questions a subject the last is open; options are texts of Python lists, empty images are null."""
    texts = ("id", "question", "options", "explanation")
    images = tuple(f"image_{number}" for number in range(1, 8))
    rest = ("img_type", "answer", "topic_difficulty", "question_type", "subfield")
    features = Features(
        {name: Value("string") for name in texts}
        | {name: Picture() for name in images}
        | {name: Value("string") for name in rest}
    )
    asked = [
        ("<image 1> What does the arrow in <image 2> show?", "['A cyst', \"Crohn's disease\"]", "B", "multiple-choice", 2),
        ("Which one fits <image 1>?", "['<image 2>', '<image 3>', 'neither']", "A", "multiple-choice", 3),
        ("<image 1> How many cells are there?", "[]", "['24', '24 cells']", "open", 1),
    ]
    subjects = (
        "Basic_Medical_Science",
        "Clinical_Medicine",
        "Diagnostics_and_Laboratory_Medicine",
        "Pharmacy",
        "Public_Health",
    )
    for place, subject in enumerate(subjects):
        rows = [
            {"id": f"validation_{subject}_{number}", "question": question, "options": options, "explanation": "?"}
            | {name: cell(20 * place + 5 * number + i) if i < count else None for i, name in enumerate(images)}
            | {"img_type": "['CT']", "answer": answer, "topic_difficulty": "Easy", "question_type": kind, "subfield": "Any"}
            for number, (question, options, answer, kind, count) in enumerate(asked, start=1)
        ]
        path = folder / subject / "validation-00000-of-00001.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        Dataset.from_list(rows, features=features).to_parquet(path)


def fairvlmed_vqa(folder: Path) -> None:
    table = [
        {"image": f"images/{i}.png", "question": "Is the cup enlarged?", "answer": "Yes" if i % 2 else "about 0.4"}
        | {"split": "test" if i < 4 else "train"}
        for i in range(24)
    ]
    write_csv(folder / "questions.csv", table)
    (folder / "images").mkdir()
    for i in range(24):
        (folder / "images" / f"{i}.png").write_bytes(picture(i))


REPLICAS: Mapping[str, Callable[[Path], None]] = {
    "flaviagiammarino/vqa-rad": vqa_rad,
    "flaviagiammarino/path-vqa": path_vqa,
    "BoKelvin/SLAKE": slake,
    "RadGenome/PMC-VQA": pmc_vqa,
    "foreverbeliever/OmniMedVQA": omnimedvqa,
    "TsinghuaC3I/MedXpertQA": medxpertqa,
    "MMMU/MMMU": mmmu,
    "fairvlmed_vqa": fairvlmed_vqa,
}


def archive(path: Path, content: Mapping[str, bytes]) -> None:
    with ZipFile(path, "w") as opened:
        for name, one in content.items():
            opened.writestr(name, one)


def write_json(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    path.write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8")


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def write(assets: Path) -> None:
    """Write every replica below a folder for --assets."""
    for name, replica in REPLICAS.items():
        folder = assets / "datasets" / name
        folder.mkdir(parents=True)
        replica(folder)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
