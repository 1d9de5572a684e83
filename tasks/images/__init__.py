"""Images wherever a data set keeps them, decoded on demand to 8-bit RGB whatever they are.

`ImageFile` is a file in a folder, `ZipMember` one in an archive (also the array of an npz file), `Cell` one in a table, `Slice`
one of many in an array. Each names itself as it lies in its data set, and is `contracts.Image`: safe to share between threads
and to send to other processes.
"""

from medrival.tasks.images.archives import ZipMember, members
from medrival.tasks.images.arrays import Slice, slices
from medrival.tasks.images.cells import Cell
from medrival.tasks.images.files import ImageFile, inside
from medrival.tasks.images.identity import fingerprint
from medrival.tasks.images.known import read_digests
from medrival.tasks.images.pixels import MOST_PIXELS, Window

__all__ = [
    "MOST_PIXELS",
    "Cell",
    "ImageFile",
    "Slice",
    "Window",
    "ZipMember",
    "fingerprint",
    "inside",
    "members",
    "read_digests",
    "slices",
]
