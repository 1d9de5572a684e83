"""Small replicas of the published diagnosis sets: their files, columns, types and quirks, with values of our own.

`python tests/tasks/sets/replicas_diagnosis.py DIR` writes all of them below DIR/datasets, where `--assets DIR` finds them.
Where a schema was read is in docs/data.md.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset, Features, Value
from datasets import Image as Picture
from openpyxl import Workbook
from PIL import Image as PILImage
from pydicom.dataset import Dataset as Dicom
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

OBSERVATIONS = (
    *("No Finding", "Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity", "Lung Lesion", "Edema", "Consolidation"),
    *("Pneumonia", "Atelectasis", "Pneumothorax", "Pleural Effusion", "Pleural Other", "Fracture", "Support Devices"),
)
MEDMNIST = {  # classes and channels of each set
    "pathmnist": (9, 3),
    "chestmnist": (14, 1),
    "dermamnist": (7, 3),
    "octmnist": (4, 1),
    "pneumoniamnist": (2, 1),
    "retinamnist": (5, 3),
    "breastmnist": (2, 1),
    "bloodmnist": (8, 3),
    "tissuemnist": (8, 1),
    "organamnist": (11, 1),
    "organcmnist": (11, 1),
    "organsmnist": (11, 1),
}


def picture(path: Path, shade: int, size: int = 8) -> None:
    """An image of one colour, which of 1,024 shades is its own even as a JPEG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    PILImage.new("RGB", (size, size), (shade % 32 * 8, shade // 32 * 8, 9)).save(path)


def table(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows([columns, *rows])


def sheet(path: Path, rows: Iterable[Sequence[object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    book = Workbook()
    for row in rows:
        book.worksheets[0].append(list(row))
    book.save(path)


def arrays(path: Path, **named: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, **named)


def chexpert(folder: Path) -> None:
    """Patients 1 to 20 for training, with two views each; every third without a finding, others mentioned in three ways."""
    columns = ["Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *OBSERVATIONS]
    release = "CheXpert-v1.0-small"
    for split, patients in (("train", range(1, 21)), ("valid", range(64541, 64547))):
        rows = []
        for patient in patients:
            for view, (plane, side) in enumerate((("Frontal", "AP"), ("Lateral", "")), start=1):
                path = f"{release}/{split}/patient{patient:05d}/study1/view{view}_{plane.lower()}.jpg"
                picture(folder / path, 2 * (patient % 500) + view)
                said = ["1.0", *[""] * 13] if patient % 3 == 0 else ["", "-1.0", "1.0", "0.0", *[""] * 9, "1.0"]
                rows.append([path, ("Male", "Female")[patient % 2], 40 + patient % 50, plane, side, *said])
        table(folder / release / f"{split}.csv", columns, rows)


def chest_xray14(folder: Path) -> None:
    """The first release's heading, whose brackets make two columns each, and its comma at the end of every line."""
    columns = "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position"
    columns += ",OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],"
    rows, lists = [], {"train_val_list.txt": "", "test_list.txt": ""}
    for patient in range(1, 25):
        for visit in range(2):
            name = f"{patient:08d}_{visit:03d}.png"
            picture(folder / f"images_{1 + patient % 2:03d}" / "images" / name, 2 * patient + visit)
            labels = ("No Finding", "Cardiomegaly|Emphysema", "Pleural_Thickening")[patient % 3]
            age, sex = f"{40 + patient:03d}Y" if visit else 40 + patient, "MF"[patient % 2]
            rows.append([name, labels, visit, patient, age, sex, "PA", 2682, 2749, 0.143, 0.143, ""])
            lists["test_list.txt" if patient > 20 else "train_val_list.txt"] += f"{name}\n"
    table(folder / "Data_Entry_2017.csv", columns.split(","), rows)
    for name, listed in lists.items():
        (folder / name).write_text(listed)


def camelyon17(folder: Path) -> None:
    """Two patients of each of five hospitals; every fourth patch of the column `split` is kept out."""
    rows = []
    for number in range(80):
        patient, center = f"{number // 8:03d}", number // 16
        node, x, y = number // 8 % 5, 3328 + 32 * number, 21792
        picture(folder / "patches" / f"patient_{patient}_node_{node}" / _patch(patient, node, x, y), number, size=96)
        rows.append([number, patient, node, x, y, number % 2, number // 8, center, int(number % 4 == 3)])
    columns = ["", "patient", "node", "x_coord", "y_coord", "tumor", "slide", "center", "split"]
    table(folder / "metadata.csv", columns, rows)


def _patch(patient: str, node: int, x: int, y: int) -> str:
    return f"patch_patient_{patient}_node_{node}_x_{x}_y_{y}.png"


def ham10000(folder: Path) -> None:
    """Two images a lesion, in two folders; one lesion of an age and a sex that are not known."""
    rows = []
    for lesion in range(70):
        for part in (1, 2):
            name = f"ISIC_{24306 + 2 * lesion + part:07d}"
            picture(folder / f"HAM10000_images_part_{part}" / f"{name}.jpg", 2 * lesion + part)
            diagnosis = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")[lesion % 7]
            known = ("", "unknown") if lesion == 3 else (float(5 * (lesion % 17)), ("male", "female")[lesion % 2])
            rows.append([f"HAM_{lesion:07d}", name, diagnosis, "histo", *known, "back"])
    columns = ["lesion_id", "image_id", "dx", "dx_type", "age", "sex", "localization"]
    table(folder / "HAM10000_metadata.csv", columns, rows)


def papila(folder: Path) -> None:
    """Three rows of headings above the patients, and an empty row below them."""
    over = [None, "Age", "Gender", "Diagnosis", "Refractive_Defect", None, None, "Phakic/Pseudophakic", "IOP", None]
    under = [None, None, None, None, "dioptre_1", "dioptre_2", "astigmatism", None, "Pneumatic", "Perkins"]
    for eye in ("OD", "OS"):
        patients = []
        for patient in range(2, 42):
            picture(folder / "FundusImages" / f"RET{patient:03d}{eye}.jpg", 2 * patient + (eye == "OS"))
            patients.append([f"#{patient:03d}", 40 + patient, patient % 2, patient % 3, 0.75, -1.75, 90, 0, 21, None])
        path = folder / "ClinicalData" / f"patient_data_{eye.lower()}.xlsx"
        sheet(path, [over, under, ["ID", *[None] * 9], *patients, [None] * 10])


def gf3300(folder: Path) -> None:
    """Maps of thickness, below the window, in it and above it; the scans beside them are not read."""
    for number in range(28):
        split = "train" if number < 16 else "val" if number < 20 else "test"
        rnflt = np.array([[-2, 350], [number, 400], [174, -50]], dtype=np.float32)
        told = {"glaucoma": number % 2, "male": number // 2 % 2, "race": number % 3, "age": 50.5 + number, "md": -3.2}
        path = folder / split / f"data_{number:04d}.npz"
        arrays(path, rnflt=rnflt, oct_bscans=np.zeros((2, 2, 2), np.uint8), tds=np.zeros(52), **told)


def fairvlmed(folder: Path) -> None:
    """Fundus images with what is known of the patient, -1 for what is not, and the clinical note."""
    for number in range(28):
        split = "Training" if number < 16 else "Validation" if number < 20 else "Test"
        fundus = np.full((6, 5), number, dtype=np.uint8)
        told = {"glaucoma": number % 2, "gender": number % 3 - 1, "race": number % 4 - 1, "age": 50.5 + number}
        path = folder / split / f"data_{number:05d}.npz"
        arrays(path, slo_fundus=fundus, tds=np.zeros(52), note=np.array("a note"), **told)


def drishti_gs(folder: Path) -> None:
    """The archive unpacks into a folder of its own name; the table has titles above its headings and a row below them."""
    inner = folder / "Drishti-GS1_files" / "Drishti-GS1_files"
    rows: list[Sequence[object]] = []
    for number in range(1, 25):
        part = "Test" if number > 16 else "Training"
        picture(inner / part / "Images" / f"drishtiGS_{number:03d}.png", number)
        label = ("Normal", "Glaucomatous")[number // 2 % 2]
        rows.append([None, f"drishtiGS_{number:03d}'", f"P{number // 2}", label, label, label, label, None, label])
    names = [None, "Drishti-GS File", "Patient ID", "Marking 1", "Marking 2", "Marking 3", "Marking 4", None, "Total"]
    titles: list[Sequence[object]] = [[None] * 9, [None, "Diagnosis of the images"], [None] * 9]
    sheet(folder / "Drishti-GS1_files" / "Drishti-GS1_diagnosis.xlsx", [*titles, names, [None] * 9, *rows])


def rsna_pneumonia(folder: Path) -> None:
    """Two boxes in every radiograph with pneumonia, one row without a box in others."""
    rows: list[Sequence[object]] = []
    for number in range(40):
        name = f"{number:08x}-36f2-4c2b-8dbe-2b5a25f3bb7f"
        dicom(folder / "stage_2_train_images" / f"{name}.dcm", number)
        boxes = [["264.0", "152.0", "213.0", "379.0", 1]] * 2 if number % 4 == 0 else [["", "", "", "", 0]]
        rows += [[name, *box] for box in boxes]
    table(folder / "stage_2_train_labels.csv", ["patientId", "x", "y", "width", "height", "Target"], rows)


def dicom(path: Path, shade: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    file = Dicom()
    file.file_meta = FileMetaDataset()
    file.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file.file_meta.MediaStorageSOPClassUID = file.SOPClassUID = SecondaryCaptureImageStorage
    file.file_meta.MediaStorageSOPInstanceUID = file.SOPInstanceUID = generate_uid(entropy_srcs=[path.name])
    file.PhotometricInterpretation, file.SamplesPerPixel, file.PixelRepresentation = "MONOCHROME2", 1, 0
    file.Rows = file.Columns = 4
    file.BitsAllocated = file.BitsStored = 8
    file.HighBit = 7
    file.PixelData = bytes(range(shade, shade + 16))
    file.save_as(path, enforce_file_format=True)


def pcam(folder: Path) -> None:
    """The hub's copy: parquet files by split, the label true or false."""
    features = Features({"image": Picture(), "label": Value("bool")})
    (folder / "data").mkdir(parents=True)
    for first, (split, count) in enumerate((("train", 12), ("valid", 6), ("test", 8))):
        for number in range(count):
            picture(folder / "patch.png", 20 * first + number, size=96)
            cell = {"bytes": (folder / "patch.png").read_bytes(), "path": None}
            (folder / "patch.png").unlink()
            part = Dataset.from_dict({"image": [cell], "label": [number % 2 == 1]}, features=features)
            part.to_parquet(folder / "data" / f"{split}-{number:05d}-of-{count:05d}.parquet")


def lc25000(folder: Path) -> None:
    for part, labels in (("lung", ("lung_aca", "lung_n", "lung_scc")), ("colon", ("colon_aca", "colon_n"))):
        for first, label in enumerate(labels):
            for number in range(1, 11):
                name = f"{label.replace('_', '')}{number}.jpeg"
                picture(folder / f"{part}_image_sets" / label / name, 40 * first + number + 500 * (part == "lung"), size=16)


def medmnist(folder: Path) -> None:
    """Three training images a class, one for validation and two for the test, of every size."""
    for name, (classes, channels) in MEDMNIST.items():
        for size in (28, 64, 128, 224):
            parts: dict[str, np.ndarray] = {}
            for first, (split, each) in enumerate((("train", 3), ("val", 1), ("test", 2))):
                numbers = np.arange(each * classes)
                shape = (len(numbers), size, size, 3)[: 3 if channels == 1 else 4]
                shades = (50 * first + numbers).astype(np.uint8).reshape(-1, *[1] * (len(shape) - 1))
                parts[f"{split}_images"] = np.broadcast_to(shades, shape)
                labels = (numbers % classes)[:, None]
                parts[f"{split}_labels"] = (_findings(labels, classes) if name == "chestmnist" else labels).astype(np.uint8)
            arrays(folder / f"{name}{'' if size == 28 else f'_{size}'}.npz", **parts)


def _findings(labels: np.ndarray, classes: int) -> np.ndarray:
    """Of each row as many findings as its label says, so that some have none and some have several."""
    return np.arange(classes)[None, :] < labels


WRITERS: Mapping[str, Any] = {
    "chexpert": chexpert,
    "chest_xray14": chest_xray14,
    "camelyon17_v1.0": camelyon17,
    "ham10000": ham10000,
    "papila": papila,
    "gf3300": gf3300,
    "fairvlmed": fairvlmed,
    "drishti_gs": drishti_gs,
    "rsna_pneumonia": rsna_pneumonia,
    "1aurent/PatchCamelyon": pcam,
    "lung_colon_image_set": lc25000,
    "medmnist": medmnist,
}
"""By the place that a row names."""


def write(assets: Path) -> None:
    """All replicas, as --assets wants them."""
    for place, make in WRITERS.items():
        make(assets / "datasets" / place)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
