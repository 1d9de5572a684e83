"""Code that lies beside weights runs only for a model that the user names."""

import json
from dataclasses import replace
from pathlib import Path
from shutil import copytree

import pytest

from medrival import catalog
from medrival.errors import BrokenModel
from medrival.keys import of_features
from medrival.settings import Settings
from medrival.weights import locate

CODE = """
from pathlib import Path
from transformers import CLIPConfig, CLIPModel
Path({proof!r}).write_text("it ran")
class OwnConfig(CLIPConfig):
    model_type = "own-clip"
class OwnModel(CLIPModel):
    config_class = OwnConfig
"""


@pytest.fixture
def own(rows, tmp_path, monkeypatch):
    """pocket-clip as a model with code of its own, and the file that this code writes."""
    from transformers import dynamic_module_utils

    monkeypatch.setattr(dynamic_module_utils, "HF_MODULES_CACHE", str(tmp_path / "modules"))
    folder, proof = tmp_path / "own", tmp_path / "proof"
    copytree(locate(rows.models["pocket-clip"], None), folder)
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "own-clip", "architectures": ["OwnModel"]}
    config["auto_map"] = {"AutoConfig": "own.OwnConfig", "AutoModel": "own.OwnModel"}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "own.py").write_text(CODE.format(proof=str(proof)))
    return folder, proof


def load(rows: catalog.Catalog, folder: Path):
    card = replace(rows.models["pocket-clip"], weights=str(folder))
    return catalog.imported(card.adapter)(card, folder, "cpu", "float32")


def test_by_default_it_does_not_run_and_the_message_names_the_option(rows, own):
    folder, proof = own
    with pytest.raises(BrokenModel, match=r"needs code that lies beside its weights.*--trust-remote-code pocket-clip"):
        load(rows, folder)
    assert not proof.exists()


def test_for_a_model_that_is_named_it_runs(rows, own):
    folder, proof = own
    assert type(load(rows.trusting(["pocket-clip"]), folder).module).__name__ == "OwnModel"
    assert proof.read_text() == "it ran"


def test_trust_is_one_models_and_its_bases(rows):
    candidate = replace(rows.models["pocket-medclip"], name="mine", base=rows.models["pocket-clip"])
    trusting = rows.joined_by([candidate]).trusting(["mine"]).models
    assert [name for name, model in trusting.items() if model.trusted] == ["mine"]
    assert trusting["mine"].base.trusted


def test_an_outcome_of_a_trusted_model_is_another(rows):
    plain, trusted = (known.models["pocket-clip"] for known in (rows, rows.trusting(["pocket-clip"])))
    assert of_features(plain, (), Settings()) != of_features(trusted, (), Settings())
