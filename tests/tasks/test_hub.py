"""Any data set of the hub by a row: from a mirror, the library's cache or the hub; kept or streamed; images read in place."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pyarrow as arrow
import pyarrow.parquet as parquet
import pytest
from PIL import Image as PILImage

from medrival.catalog import TaskCard
from medrival.errors import BrokenCatalog, BrokenData, MedrivalError, MissingAsset
from medrival.tasks import plain
from medrival.tasks.files import Files
from medrival.tasks.hub import Repository

pytestmark = pytest.mark.usefixtures("library")


def picture(shade):
    stream = BytesIO()
    PILImage.new("L", (4, 4), shade).save(stream, "PNG")
    return stream.getvalue()


def card(tmp_path, kind="diagnosis", **options):
    given = {"prompt": "a {}"} | options if kind == "diagnosis" else options
    return TaskCard("mine", kind, "ultrasound", "hub:someone/lumps", folder=str(tmp_path), options=given)


def mirror(tmp_path):
    folder = tmp_path / "assets" / "datasets" / "someone" / "lumps"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture
def load(tmp_path):
    return lambda **row: plain.hub(card(tmp_path, **row), tmp_path / "assets", tmp_path)


@pytest.fixture
def labelled(tmp_path):
    """Images and labels in parquet, as `datasets` uploads them: 20 rows to learn from and 6 to test on."""
    from datasets import ClassLabel, Dataset, Features, Image

    features = Features({"image": Image(), "label": ClassLabel(names=["benign", "malignant"])})
    for split, count, first in (("train", 20, 0), ("test", 6, 100)):
        rows = {
            "image": [{"bytes": picture(first + i), "path": None} for i in range(count)],
            "label": [i % 2 for i in range(count)],
        }
        path = mirror(tmp_path) / "data" / f"{split}-00000-of-00001.parquet"
        path.parent.mkdir(exist_ok=True)
        Dataset.from_dict(rows, features=features).to_parquet(path)
    return mirror(tmp_path)


def shades(samples):
    return [sample.image.open().getpixel((0, 0))[0] for sample in samples]


def test_a_mirrored_data_set_is_a_task_by_a_five_line_row(labelled, load):
    task = load()
    assert task.classes == ("benign", "malignant")
    assert [sample.truth for sample in task.test] == ["benign", "malignant"] * 3
    assert shades(task.test) == [*range(100, 106)]
    assert len(task.train) + len(task.validation) == 20
    assert task.notes["split"].startswith("official")


def test_classes_keep_the_order_of_the_data_set(tmp_path, load):
    from datasets import ClassLabel, Dataset, Features, Image

    features = Features({"image": Image(), "label": ClassLabel(names=["normal", "benign", "malignant"])})
    table = {"image": [{"bytes": bytes([i]), "path": None} for i in range(12)], "label": [i % 3 for i in range(12)]}
    (mirror(tmp_path) / "data").mkdir()
    Dataset.from_dict(table, features).to_parquet(mirror(tmp_path) / "data" / "train-00000-of-00001.parquet")
    assert load(split="made").classes == load(split="made", streaming=True).classes == ("normal", "benign", "malignant")


def test_an_image_is_read_where_it_lies_by_threads_and_by_other_processes(labelled, load):
    task = load()
    sent = pickle.dumps([sample.image for sample in task.test])
    assert picture(103) not in sent
    with ThreadPoolExecutor(4) as pool:
        seen = list(pool.map(lambda image: image.open().getpixel((0, 0))[0], pickle.loads(sent) * 5))  # noqa: S301 - our own
    assert seen == [*range(100, 106)] * 5


def test_a_streamed_data_set_is_the_same_task(labelled, load):
    kept, streamed = load(), load(streaming=True)
    assert streamed.fingerprint == kept.fingerprint
    assert [sample.id for sample in streamed.test] == [sample.id for sample in kept.test]
    assert shades(streamed.test) == [*range(100, 106)]
    assert shades(reversed(streamed.test)) == [*range(105, 99, -1)]
    assert shades(pickle.loads(pickle.dumps(streamed)).test) == [*range(100, 106)]  # noqa: S301 - our own


def test_streaming_leaves_nothing_in_the_library(labelled, load, library):
    load(streaming=True)
    assert not list(library.rglob("*.arrow"))
    load()
    assert list(library.rglob("*.arrow"))


def test_what_exceeds_the_disk_is_streamed_by_itself(labelled, load, library):
    (labelled / "README.md").write_text(f"---\ndataset_info:\n  dataset_size: {10**18}\n---\n")
    assert shades(load().test) == [*range(100, 106)]
    assert not list(library.rglob("*.arrow"))


def test_rows_far_apart_in_a_stream_are_found_again(tmp_path, load):
    values = {"image": [picture(i) for i in range(200)], "label": ["a", "b"] * 100, "split": ["train", "test"] * 100}
    parquet.write_table(arrow.table(values), mirror(tmp_path) / "train.parquet")
    test = load(streaming=True).test
    assert shades([test[90], test[3], test[99], test[0]]) == [181, 7, 199, 1]


def test_images_may_be_plain_bytes_or_structs_of_them(tmp_path, load):
    kinds = [picture(i) for i in range(20)], [{"bytes": picture(i), "path": "x"} for i in range(20)]
    for number, cells in enumerate((*kinds, [{"bytes": picture(i)} for i in range(20)])):
        folder = mirror(tmp_path)
        parquet.write_table(arrow.table({"scan": cells, "label": ["a", "b"] * 10}), folder / "train.parquet")
        assert len(load(image="scan", shares={"test": 0.5}).test) == 10, number


def test_a_folder_of_image_files_is_read_in_place(tmp_path, load):
    for i in range(20):
        path = mirror(tmp_path) / ("test" if i < 6 else "train") / "ab"[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture(i))
    task = load()
    assert task.classes == ("a", "b")
    assert sorted(shades(task.test)) == [*range(6)]


def test_one_of_several_tables_is_chosen_by_its_name(tmp_path, load):
    listed = []
    for name, first in (("small", 0), ("large", 100)):
        values = {"image": [picture(first + i) for i in range(10)], "label": ["a", "b"] * 5}
        parquet.write_table(arrow.table(values), mirror(tmp_path) / f"{name}.parquet")
        listed.append(f"- config_name: {name}\n  data_files:\n  - split: test\n    path: {name}.parquet\n")
    (mirror(tmp_path) / "README.md").write_text(f"---\nconfigs:\n{''.join(listed)}---\n")
    assert shades(load(config="large").test) == [*range(100, 110)]
    with pytest.raises(BrokenData, match=r"mine: .*someone/lumps is no readable data set"):
        load()


def test_questions_of_a_table_know_their_forms(tmp_path, load):
    asked = {"image": [picture(i) for i in range(3)], "question": ["Mass?", "Where?", "Which?"], "answer": ["Yes", "left", "B"]}
    options = {"options": [[], [], ["CT", "MR"]]}
    parquet.write_table(arrow.table(asked | options), mirror(tmp_path) / "test.parquet")
    assert [(s.form, s.truth) for s in load(kind="vqa").test] == [("closed", "yes"), ("open", "left"), ("choice", "MR")]


def test_words_that_pandas_takes_for_nothing_are_texts_of_a_csv_file_and_an_empty_cell_is_empty(tmp_path, library):
    for split in ("train", "test"):
        (mirror(tmp_path) / f"{split}.csv").write_text("answer,age\nNA,40\nnan,\nNone,50.5\nnull,60\n")
    rows = [dict(row.values) for row in Repository.of(card(tmp_path), tmp_path / "assets", tmp_path).records()]
    assert [row["answer"] for row in rows] == 2 * ["NA", "nan", "None", "null"]
    assert [row["age"] for row in rows] == 2 * [40.0, None, 50.5, 60.0]


def test_code_that_lies_in_a_data_set_never_runs(tmp_path, load):
    ran = tmp_path / "ran"
    (mirror(tmp_path) / "lumps.py").write_text(f"open({str(ran)!r}, 'w').close()\nraise SystemExit\n")
    with pytest.raises(BrokenData, match="is no readable data set"):
        load()
    assert not ran.exists()


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"label": "dx"}, r'someone/lumps train: row 0: column "dx" is missing; there are split, label, image'),
        ({"image": "label"}, r"train: row 0: column \"label\" is 'benign'; expected an image"),
        ({"splits": {"test": "holdout"}}, "holdout"),
    ],
)
def test_a_wrong_row_is_told_what_is_wrong(labelled, load, row, says):
    with pytest.raises(MedrivalError, match=says):
        load(**row)


def test_a_row_without_an_image_is_named(tmp_path, load):
    values = {"image": [picture(0), None], "label": ["a", "b"]}
    parquet.write_table(arrow.table(values), mirror(tmp_path) / "test.parquet")
    for streaming in (False, True):
        with pytest.raises(BrokenData, match='row 1: column "image" is None; expected an image'):
            load(streaming=streaming)


@pytest.mark.parametrize("streaming", [False, True])
def test_a_damaged_table_is_refused(labelled, load, streaming):
    path = labelled / "data" / "test-00000-of-00001.parquet"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(BrokenData, match=r"is no readable data set|row 0 cannot be read"):
        load(streaming=streaming)


def test_a_table_names_no_file_outside_its_data_set(tmp_path, load):
    (tmp_path / "secret.png").write_bytes(picture(1))
    for path in (str(tmp_path / "secret.png"), "../../../../secret.png"):
        values = {"image": [{"bytes": None, "path": path}], "label": ["a"]}
        parquet.write_table(arrow.table(values), mirror(tmp_path) / "test.parquet")
        with pytest.raises(BrokenData, match="points outside its folder"):
            load()


def test_sizes_that_a_data_set_states_are_held_to(labelled, load):
    stated = "".join(
        f"  - name: {split}\n    num_bytes: 1\n    num_examples: {n}\n" for split, n in (("train", 20), ("test", 7))
    )
    (labelled / "README.md").write_text(f"---\ndataset_info:\n  splits:\n{stated}---\n")
    with pytest.raises(BrokenData, match="is no readable data set"):
        load()


def test_what_the_library_has_kept_is_found_without_a_mirror(labelled, load, tmp_path, library):
    before = load()
    # As the library names what it has kept of a repository, by organisation, name, table, version and commit.
    (kept,) = {path.parent for path in library.rglob("*.arrow")}
    kept.parent.parent.parent.rename(library / "someone___lumps")
    labelled.rename(tmp_path / "elsewhere")
    assert load().fingerprint == before.fingerprint


@pytest.mark.parametrize("read", [plain.hub, Files.of])
def test_without_a_hub_the_user_learns_how_to_get_it(read, tmp_path):
    mine = replace(card(tmp_path), licence="CC0 1.0")
    with pytest.raises(MissingAsset) as caught:
        read(mine, tmp_path / "assets", tmp_path)
    mirrored = tmp_path / "assets" / "datasets" / "someone" / "lumps"
    assert str(caught.value) == (
        f"mine: someone/lumps is not on this machine (nor in {mirrored}), and the hub cannot be reached; get it with: "
        f"python -m medrival fetch --tasks mine --assets {tmp_path / 'assets'} (CC0 1.0), or allow access to the hub; "
        "its page is https://huggingface.co/datasets/someone/lumps"
    )
    with pytest.raises(MissingAsset, match=r"gated: ask for access at https://example\.org, then set HF_TOKEN"):
        read(replace(mine, gated=True, access="https://example.org"), None, tmp_path)


@pytest.mark.parametrize("files", [None, ["data/train-*", "data/test-*"]])
def test_a_mirror_that_lacks_some_shards_of_a_table_is_not_taken_for_all_of_it(labelled, load, files):
    whole = labelled / "data" / "train-00000-of-00001.parquet"
    whole.rename(labelled / "data" / "train-00000-of-00003.parquet")
    with pytest.raises(
        MissingAsset, match=r"lumps lacks data/train-00001-of-00003\.parquet, data/train-00002-of-00003\.parquet;"
    ):
        load(**({"files": files} if files else {}))


def test_a_snapshot_in_the_hubs_cache_that_lacks_a_shard_is_not_taken_for_all_of_it(tmp_path, library):
    cached = library / "hub" / "datasets--someone--lumps"
    (cached / "refs").mkdir(parents=True)
    (cached / "refs" / "main").write_text("a" * 40)
    (cached / "snapshots" / ("a" * 40)).mkdir(parents=True)
    shards = [cached / "snapshots" / ("a" * 40) / f"train-0000{i}-of-00002.json" for i in range(2)]
    row = replace(card(tmp_path, files=["train-*"]), data="x:y", place="someone/lumps")
    shards[0].write_text("[]")
    with pytest.raises(MissingAsset, match=r"someone/lumps is not on this machine|has no train-00001-of-00002"):
        Files.of(row, None, tmp_path)
    shards[1].write_text("[]")
    assert Files.of(row, None, tmp_path).root == shards[0].parent


@pytest.mark.parametrize("files", [None, {"test": "test*"}])
def test_a_folder_of_the_current_directory_is_not_taken_for_a_data_set_of_the_hub(tmp_path, monkeypatch, files):
    here = tmp_path / "here" / "someone" / "lumps"
    here.mkdir(parents=True)
    parquet.write_table(arrow.table({"image": [picture(0)] * 2, "label": ["a", "b"]}), here / "test.parquet")
    monkeypatch.chdir(here.parent.parent)
    with pytest.raises(MissingAsset, match="someone/lumps is not on this machine"):
        plain.hub(card(tmp_path, **({"files": files} if files else {})), None, tmp_path)


def test_a_folder_beside_a_catalog_file_of_the_current_directory_is_a_mirror(labelled, tmp_path, monkeypatch):
    monkeypatch.chdir(labelled.parent.parent)
    assert len(plain.hub(replace(card(tmp_path), folder="."), None, tmp_path).test) == 6


@pytest.mark.parametrize("name", ["parquet", "lumps", "someone/lumps/more"])
def test_a_name_that_no_data_set_of_the_hub_has_is_refused(tmp_path, monkeypatch, name):
    """Some of them `datasets` would take for a way to read files of the current directory."""
    parquet.write_table(arrow.table({"image": [picture(0)] * 2, "label": ["a", "b"]}), tmp_path / "test.parquet")
    monkeypatch.chdir(tmp_path)
    row = replace(card(tmp_path / "elsewhere", files={"test": "test.parquet"}), data=f"hub:{name}")
    with pytest.raises(BrokenCatalog, match="is no data set of the hub: these are called ORG/NAME"):
        plain.hub(row, None, tmp_path)


def test_files_in_the_hubs_cache_are_found_and_their_commit_is_known(tmp_path, library):
    blobs = library / "hub" / "datasets--someone--lumps" / "blobs"
    snapshot = blobs.parent / "snapshots" / ("c" * 40)
    (blobs.parent / "refs").mkdir(parents=True)
    (blobs.parent / "refs" / "main").write_text("c" * 40)
    blobs.mkdir()
    snapshot.mkdir(parents=True)
    (blobs / "1").write_bytes(picture(9))
    (snapshot / "9.png").symlink_to(Path("..") / ".." / "blobs" / "1")
    files = Files.of(card(tmp_path, files=["*.png"]), None, tmp_path)
    assert files.revision == "c" * 40
    assert files.image("9.png").open().size == (4, 4)
    with pytest.raises(BrokenData, match="points outside"):
        files.image("../../../secret.png")
    with pytest.raises(MissingAsset, match=r"someone/lumps has no imgs\.zip in .*; get it with"):
        Files.of(card(tmp_path, files=["*.png", "imgs.zip"]), None, tmp_path)
