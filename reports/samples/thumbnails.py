"""Small copies of the images of the samples that tell most, never of a whole large data set."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Sequence
from io import BytesIO
from typing import TYPE_CHECKING

from medrival.errors import MedrivalError
from medrival.reports.figures import clip

if TYPE_CHECKING:
    from PIL.Image import Image

Images = Callable[[str, str], "Image | None"]
"""(task, sample id) -> the decoded image, or None where there is none. May raise a MedrivalError, which says why."""

MOST = 200  # images of a task
EACH = 50  # images of a part
SIDE = 128  # pixels
QUALITY = 80  # of JPEG


def thumbnails(task: str, samples: Sequence[str], images: Images) -> list[dict[str, str]]:
    """Of each sample `{"jpeg": base64}`, or `{"absent": why}`."""
    return [_thumbnail(task, sample, images) for sample in samples]


def _thumbnail(task: str, sample: str, images: Images) -> dict[str, str]:
    """A JPEG of at most SIDE x SIDE pixels, or the reason why there is none."""
    file = BytesIO()
    try:
        image = images(task, sample)
        if image is None:
            return {"absent": "no image at hand"}
        small = image.convert("RGB")
        small.thumbnail((SIDE, SIDE))
        small.save(file, "JPEG", quality=QUALITY)
    except MedrivalError as error:
        return {"absent": clip(str(error), 200)}
    except Exception as error:  # of whatever opens a third party's image: no picture is worth the page
        return {"absent": clip(f"{type(error).__name__}: {error}", 200)}
    return {"jpeg": b64encode(file.getvalue()).decode()}
