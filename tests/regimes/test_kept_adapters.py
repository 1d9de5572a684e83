"""Adapters that a run keeps are candidates of the next one, with the predictions that they were kept with."""

import json

import pytest

SELECTION = ("--models", "pocket-clip", "--tasks", "phantom-chest", "--limit", "12")


def predictions(study, case_id):
    (case,) = (case for case in study.report["cases"] if case["id"] == case_id)
    lines = (study.folder / "report" / case["predictions"]).read_text().splitlines()
    return {line["id"]: line["scores"] for line in map(json.loads, lines)}


def test_kept_adapters_come_back_as_candidates_with_the_same_predictions(study, tmp_path):
    kept = study(*SELECTION, "--regimes", "lora-image,lora-both,linear-probe", "--keep-adapters")
    assert kept.status == 0, kept.output
    assert kept.output.count("--keep-adapters: ") == 1
    assert "pocket-clip-phantom-chest-linear-probe leaves nothing" in kept.output
    adapters = {
        name: tmp_path / "report" / "adapters" / f"pocket-clip-phantom-chest-{name}" for name in ("lora-image", "lora-both")
    }
    expected = {name: predictions(kept, folder.name) for name, folder in adapters.items()}
    candidates = [argument for folder in adapters.values() for argument in ("--candidate", str(folder))]
    (tmp_path / "again").mkdir()
    again = study(*SELECTION, "--regimes", "zero-shot", *candidates, folder=tmp_path / "again")
    assert again.status == 0, again.output
    for name, folder in adapters.items():
        found = predictions(again, f"{folder.name}-phantom-chest-zero-shot")
        assert found.keys() == expected[name].keys()
        for sample, scores in found.items():
            assert scores == pytest.approx(expected[name][sample], abs=1e-5)
