"""Audits as a user meets them: selected, run first, kept in the store, held to gates, and told beside the scores."""

import csv
import json
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from PIL import Image as PILImage
from PIL import ImageOps

ROOT = Path(__file__).parents[2]
CLASSES = ("a clear lung", "a lung opacity")
ROW = """
[tasks.lungs]
kind     = "diagnosis"
modality = "phantom chest radiograph"
data     = "table:lungs/labels.csv"
prompt   = "a chest radiograph showing {}"
patient  = "patient"
split    = "split"
"""
GATE = '[[gate]]\nname = "not leaked"\ntasks = "lungs"\nmax-leakage = 0.2\n'
SPLITS = ("train",) * 12 + ("validation",) * 6 + ("test",) * 8


@pytest.fixture
def lungs(tmp_path) -> tuple[str, ...]:
    """The arguments of a study of one model on a table: one test image is a training image, one a mirrored one."""
    rows = [{"image": f"{i}.png", "label": CLASSES[i % 2], "patient": f"p{i}", "split": s} for i, s in enumerate(SPLITS)]
    folder = tmp_path / "lungs"
    folder.mkdir()
    for i in range(len(rows)):
        seed = i - 24 if i >= 24 else i  # the last two are the first two
        noise = np.random.default_rng(seed).integers(0, 256, (24, 24, 3), dtype=np.uint8)
        image = PILImage.fromarray(noise).resize((96, 96))
        (ImageOps.mirror(image) if i == 25 else image).save(folder / f"{i}.png")
    with (folder / "labels.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    (tmp_path / "my.toml").write_text(ROW)
    (tmp_path / "gate.toml").write_text(GATE)
    given = ("--catalog", str(tmp_path / "my.toml"), "--tasks", "lungs", "--models", "pocket-clip", "--regimes", "zero-shot")
    return (*given, "--assets", str(tmp_path))


def audit_of(study):
    (audit,) = study.report["integrity"]
    return audit


def test_leakage_is_warned_of_beside_scores_with_and_without_the_leaked_samples(study, lungs):
    done = study(*lungs, "--drop-leaked", "-v")
    assert done.status == 0, done.output
    jsonschema.validate(done.report, json.loads((ROOT / "reports" / "report.schema.json").read_text()))
    first, second = [line for line in done.output.splitlines() if "PASSED" in line]
    assert ("test_integrity[lungs]" in first, "test_diagnosis[" in second) == (True, True), "audits run first"
    audit, (case,) = audit_of(done), done.report["cases"]
    assert audit["status"] == "measured"
    leaks = audit["leakage"]
    assert (len(leaks["leaked"]), leaks["on_training_images"], leaks["on_turned_images"]) == (2, 1, 1)
    assert case["blind"] == {"constant": 0.5, "question_only": None}
    assert (case["n"], case["unleaked"]["n"]) == (8, 6)
    kept = [json.loads(line) for line in (done.folder / "report" / case["predictions"]).read_text().splitlines()]
    kept = [one for one in kept if one["id"] not in audit["leakage"]["leaked"]]
    right = [one["scores"].index(max(one["scores"])) == case["classes"].index(one["truth"]) for one in kept]
    assert case["unleaked"]["metrics"]["accuracy"]["value"] == pytest.approx(np.mean(right))
    assert "lungs: 2 of 8 test samples (25.0%) are leaked" in " ".join(done.output.split())
    page = (done.folder / "report" / "report.html").read_text()
    assert "without leaked samples" in page
    assert "2 of 8" in page


def test_a_gate_acts_on_leakage_and_a_second_run_audits_nothing(study, lungs, tmp_path):
    plain = study(*lungs, "-k", "integrity")
    assert plain.status == 0, plain.output
    kept = list((tmp_path / "store" / "tasks" / "audits").glob("*/*.json"))
    assert len(kept) == 1
    written = kept[0].read_text()
    kept[0].write_text(written.replace('"on_training_images": 1', '"on_training_images": 2'))
    gated = study(*lungs, "-m", "integrity", "--gate", str(tmp_path / "gate.toml"))
    assert gated.status == 1
    assert audit_of(gated)["leakage"]["on_training_images"] == 2, "it is what the store held"
    said = "FAILED gate 'not leaked': 2 of 8 test samples are leaked, a share of 0.250, which must be at most 0.2"
    assert said in gated.output
    (gate,) = gated.report["gates"]
    assert (gate["task"], gate["case"], gate["status"], gate["measured"]) == ("lungs", None, "failed", 0.25)
    assert audit_of(gated)["status"] == "measured", "a broken gate leaves the audit measured"
    anew = study(*lungs, "-m", "integrity", "--no-resume")
    assert audit_of(anew)["leakage"]["on_training_images"] == 1


def test_a_gate_on_leakage_fails_where_nothing_was_audited(study, lungs, tmp_path):
    done = study(*lungs, "-k", "zero-shot", "--gate", str(tmp_path / "gate.toml"), "--drop-leaked")
    assert done.status == 1
    assert done.report["gates"][0]["explanation"] == "it was not measured (missing): it was not selected"
    assert "--drop-leaked: not audited in this run: lungs" in done.output
    assert done.report["cases"][0]["unleaked"] is None


def test_workers_send_their_audits(study, lungs):
    pytest.importorskip("xdist")
    done = study(*lungs, "-n", "2", "--tasks", "lungs,phantom-chest", "--limit", "8", "-k", "integrity")
    assert done.status == 0, done.output
    assert {audit["task"]: audit["limit"] for audit in done.report["integrity"]} == {"lungs": 8, "phantom-chest": 8}


def test_broken_data_fails_its_audit_and_is_told_in_full(study, lungs, tmp_path):
    (tmp_path / "careless.py").write_text(
        "from dataclasses import replace\n"
        "from medrival.tasks import plain\n"
        "def lungs(card, assets, cache):\n"
        "    task = plain.table(card, assets, cache)\n"
        "    return replace(task, test=tuple(replace(sample, id='one') for sample in task.test))\n"
    )
    (tmp_path / "my.toml").write_text(ROW.replace('"table:lungs/labels.csv"', '"careless:lungs"\nplace = "lungs/labels.csv"'))
    done = study(*lungs, "-k", "integrity", PYTHONPATH=str(tmp_path))
    assert done.status == 1
    audit = audit_of(done)
    assert (audit["status"], audit["reason"]) == ("failed", "lungs: 1 id is there more than once: 'one'")
    assert audit["findings"][0]["severity"] == "broken"
    assert audit["constant"] is None
    jsonschema.validate(done.report, json.loads((ROOT / "reports" / "report.schema.json").read_text()))


def test_images_that_cannot_be_read_fail_the_audit_and_a_gate_on_what_they_leak(study, lungs, tmp_path):
    for picture in (tmp_path / "lungs").glob("*.png"):
        picture.write_bytes(b"")
    done = study(*lungs, "-k", "integrity", "--gate", str(tmp_path / "gate.toml"))
    assert done.status == 1
    assert audit_of(done)["status"] == "failed"
    assert audit_of(done)["reason"].startswith("lungs: 12 of 12 images of train cannot be read; the first: image '0.png'")
    assert len(audit_of(done)["images"]["unreadable"]) == 26
    (gate,) = done.report["gates"]
    assert gate["status"] == "failed"
    assert gate["explanation"].startswith("it was not measured (failed): lungs: 12 of 12 images of train")


def test_missing_data_skips_the_audit_with_the_reason(study):
    done = study("--tasks", "vqa-rad", "--models", "pocket-llava", "-k", "integrity")
    assert done.status == 0, done.output
    assert audit_of(done)["status"] == "skipped"
    assert "--assets DIR" in audit_of(done)["reason"]
    strict = study("--tasks", "vqa-rad", "--models", "pocket-llava", "-k", "integrity", "--strict-assets")
    assert strict.status == 1
