"""Archives and tables of images: what the report says, and why one is refused."""

from pathlib import Path

import pytest

from service.errors import Invalid
from service.ingest import inspect_file
from service.ingest.images.class_folders import group_names
from service.ingest.validation import SizeLimits
from service.spec.datasets.images import Images
from tests.ingest.images.image_files import archive, class_files, hugging_face


def refusal(path: Path, limits: SizeLimits | None = None) -> str:
    with pytest.raises(Invalid) as caught:
        inspect_file(path, limits=limits)
    return f"{caught.value.problems[0].code}: {caught.value.problems[0].detail}"


def test_classes_are_numbered_as_torchvision_numbers_them_and_parts_come_in_order() -> None:
    found = group_names(
        ["set/test/a/9.png", "set/train/b/1.png", "set/train/a/x/2.JPG", "set/val/b/3.png", "set/README"]
    )
    assert found.names == ("set/train/a/x/2.JPG", "set/train/b/1.png", "set/val/b/3.png", "set/test/a/9.png")
    assert (found.labels, found.classes) == ((0, 1, 1, 0), ("a", "b"))
    assert (found.validation, found.test, found.ignored) == (1, 1, ("set/README",))


def test_a_class_may_be_called_test_and_hidden_files_are_no_images() -> None:
    found = group_names(["test/1.png", "other/1.png", "__MACOSX/other/._1.png", "other/.thumb.png"])
    assert (found.classes, found.test, len(found.names)) == (("other", "test"), 0, 2)


@pytest.mark.parametrize(
    ("names", "code"),
    [
        (["a.txt"], "no_images"),
        (["a.png", "b/1.png"], "no_class"),
        (["a/1.png", "a/2.png"], "wrong_classes"),
        (["train/a/1.png", "train/b/1.png", "test/c/1.png"], "unknown_class"),
    ],
)
def test_files_without_classes_are_refused(names: list[str], code: str) -> None:
    with pytest.raises(Invalid) as caught:
        group_names(names)
    assert caught.value.problems[0].code == code


def test_the_report_counts_classes_and_parts(tmp_path: Path) -> None:
    path = archive(tmp_path / "pets.zip", class_files(6, ("train/", "val/", "test/")) | {"notes.txt": b"-"})
    report = inspect_file(path)
    assert (report.format, report.rows, report.validation, report.test) == ("images", 36, 12, 12)
    label = report.column("label")
    assert label is not None
    assert label.classes == {"cat": 18, "dog": 18}
    assert report.notes == (
        "The images are 20 to 25 pixels wide and 14 high.",
        "1 file is ignored, which is not in one of the formats JPEG, PNG, WEBP, BMP, GIF: notes.txt.",
    )


def test_a_folder_of_parts_beside_another_is_told_to_be_a_class(tmp_path: Path) -> None:
    beside = class_files(2, ("train/", "val/")) | {"unlabelled/1.png": class_files(1)["cat/00.png"]}
    report = inspect_file(archive(tmp_path / "pets.zip", beside))
    assert [each.partition(" is a class")[0] for each in report.notes[1:]] == ["The folder train", "The folder val"]
    vehicles = {name.replace("cat/", "train/"): content for name, content in class_files(2).items()}
    assert len(inspect_file(archive(tmp_path / "vehicles.zip", vehicles)).notes) == 1


def test_classes_are_named_in_the_order_of_their_numbers_however_the_report_is_stored(tmp_path: Path) -> None:
    files = {name.replace("cat", "elephant"): content for name, content in class_files(6).items()}
    report = inspect_file(archive(tmp_path / "pets.zip", files))
    label = report.column("label")
    assert label is not None
    assert label.classes == {"dog": 6, "elephant": 6}
    stored = label.model_copy(update={"classes": {"elephant": 6, "dog": 6}})  # jsonb has an order of its own
    found, _ = Images(upload="dat_" + "0" * 26).resolve(
        report.model_copy(update={"columns": (report.columns[0], stored)}), "0" * 64
    )
    assert found is not None
    assert found.classes == ("dog", "elephant")


def test_a_parquet_file_of_encoded_images_names_its_classes(tmp_path: Path) -> None:
    report = inspect_file(hugging_face(tmp_path / "pets.parquet", class_files(6)))
    image, label = report.column("image"), report.column("label")
    assert image is not None
    assert label is not None
    assert (report.format, image.holds, label.class_names) == ("parquet", "image", ("cat", "dog"))
    assert not any("not read" in note for note in report.notes)


def test_damaged_images_are_named(tmp_path: Path) -> None:
    files = class_files(6)
    files["cat/03.png"] = files["cat/03.png"][:-200]
    assert "bad_image: 1 of 12 images cannot be read: cat/03.png is damaged" in refusal(archive(tmp_path / "a", files))
    assert "row 4 is damaged" in refusal(hugging_face(tmp_path / "b", files))


def test_an_archive_that_is_too_large_or_damaged_is_refused(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.zip", class_files(6))
    assert refusal(path, SizeLimits(unpacked_bytes=1000)).startswith("too_large")
    content = bytearray(path.read_bytes())
    content[60:90] = bytes(30)
    path.write_bytes(content)
    assert refusal(path).split(":")[0] in ("unreadable", "bad_image")


def test_a_workbook_with_pictures_is_still_a_workbook(tmp_path: Path) -> None:
    files = {"[Content_Types].xml": b"<x/>", "xl/media/a.png": b"-"}
    assert "Excel workbook" in refusal(archive(tmp_path / "a.xlsx", files))
