"""Images in the cells of tables, as the hub's parquet files hold them."""

from __future__ import annotations

import io
import pickle

import datasets
import numpy as np
import pytest
from PIL import Image as PILImage

from medrival.errors import UnreadableImage
from medrival.tasks.images import Cell

RAMP = np.arange(12 * 16, dtype=np.uint8).reshape(12, 16)


def png(values):
    written = io.BytesIO()
    PILImage.fromarray(values).save(written, "PNG")
    return written.getvalue()


@pytest.fixture
def table(tmp_path):
    """A parquet file of the hub's kind, loaded by the `datasets` library."""
    feature = datasets.Image(decode=False)
    made = datasets.Dataset.from_dict(
        {"image": [PILImage.fromarray(RAMP), PILImage.fromarray(RAMP.T.copy())], "raw": [png(RAMP), b""]},
        features=datasets.Features({"image": datasets.Image(), "raw": datasets.Value("binary")}),
    )
    made.to_parquet(tmp_path / "test.parquet")
    loaded = datasets.Dataset.from_parquet(str(tmp_path / "test.parquet"), cache_dir=str(tmp_path / "cache"))
    return loaded.cast_column("image", feature)


def test_a_cell_of_the_hubs_is_decoded_and_named_by_its_place(table):
    cell = Cell(table, 1, "image", "test.parquet")
    assert (np.asarray(cell.open())[:, :, 0] == RAMP.T).all()
    assert cell.name == "test.parquet: row 1, image"
    assert cell == Cell(table, 1, "image", "test.parquet") != Cell(table, 0, "image", "test.parquet")
    assert len({cell, Cell(table, 1, "image", "test.parquet")}) == 1


def test_a_cell_survives_a_pickle(table):
    cell = pickle.loads(pickle.dumps(Cell(table, 0, "image", "t")))  # noqa: S301 - our own bytes
    assert cell.open().size == (16, 12)


def test_equal_bytes_have_one_digest_wherever_they_lie(table):
    rows = [{"image": png(RAMP)}, {"image": [{"bytes": png(RAMP), "path": "a.png"}]}]
    in_list = Cell(rows, 1, "image", "t", place=0)
    assert Cell(table, 0, "raw", "t").digest == Cell(rows, 0, "image", "t").digest == in_list.digest
    assert in_list.name == "t: row 1, image[0]"
    assert (np.asarray(in_list.open())[:, :, 0] == RAMP).all()


@pytest.mark.parametrize(
    ("cell", "why"),
    [
        (None, "holds no bytes, but NoneType"),
        ({"bytes": None, "path": "a.png"}, "holds no bytes, but NoneType"),
        ("aGVsbG8=", "holds no bytes, but str"),
        (b"", "it is empty"),
        (b"sorry", "known format"),
    ],
)
def test_a_cell_without_an_image_says_what_it_holds(cell, why):
    with pytest.raises(UnreadableImage, match=f"image 't: row 0, image' cannot be read: .*{why}"):
        Cell([{"image": cell}], 0, "image", "t").open()


@pytest.mark.parametrize(("row", "column", "place"), [(7, "image", None), (0, "picture", None), (0, "image", 3)])
def test_a_cell_that_is_not_there_says_so(row, column, place):
    with pytest.raises(UnreadableImage, match=f"row {row}, {column}.*no such cell"):
        Cell([{"image": [b""]}], row, column, "t", place).open()
