"""Uploads in every kind of storage: whole or not there, fetched once, and never taken from under a reader."""

import hashlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import obstore
import pytest

from service.storage.bucket import BucketStore
from service.storage.bucket_uploads import BucketUploads
from service.storage.upload_cache import UploadCache
from service.storage.uploads import DamagedFile, FolderUploads, UploadStore

CONTENT = b"a,b\n1,2\n" * 300_000  # several pieces
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def arrived(tmp_path: Path) -> Path:
    """A file as the API has received it."""
    (tmp_path / "datasets").mkdir()
    path = tmp_path / "datasets" / "arrived"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture
def url(tmp_path: Path, s3: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> str:
    for name, value in s3.items():
        monkeypatch.setenv(name, value)
    return f"s3://saddle/{tmp_path.name}"


@pytest.fixture(params=["folder", "bucket"])
def store(request: pytest.FixtureRequest, tmp_path: Path, url: str) -> UploadStore:
    if request.param == "folder":
        return FolderUploads(tmp_path / "datasets")
    return BucketUploads(url, tmp_path / "datasets" / ".cache", 2**30)


def keep(store: UploadStore, path: Path) -> None:
    store.send(path, SHA256)
    store.keep(path, SHA256)


def test_what_is_kept_is_read_and_what_is_removed_is_gone(store: UploadStore, arrived: Path) -> None:
    keep(store, arrived)
    assert not arrived.exists()
    with store.opened(SHA256) as content:
        assert content == store.folder / SHA256 / "content"
        assert content.read_bytes() == CONTENT
    assert [sha256 for sha256, _ in store.kept()] == [SHA256]
    store.remove(SHA256)
    assert list(store.kept()) == []
    store.remove(SHA256)
    with pytest.raises(FileNotFoundError), store.opened(SHA256) as content:
        content.read_bytes()


def test_another_machine_reads_the_file_from_the_bucket(url: str, arrived: Path, tmp_path: Path) -> None:
    keep(BucketUploads(url, tmp_path / "datasets" / ".cache", 2**30), arrived)
    with BucketUploads(url, tmp_path / "other", 2**30).opened(SHA256) as content:
        assert content.read_bytes() == CONTENT


def test_a_file_removed_between_sending_and_keeping_is_sent_again(url: str, arrived: Path, tmp_path: Path) -> None:
    store = BucketUploads(url, tmp_path / "datasets" / ".cache", 2**30)
    store.send(arrived, SHA256)
    store.remove(SHA256)  # somebody deleted another upload with this content
    store.keep(arrived, SHA256)
    with BucketUploads(url, tmp_path / "other", 2**30).opened(SHA256) as content:
        assert content.read_bytes() == CONTENT


def test_a_bucket_that_kept_something_else_is_not_believed(url: str, arrived: Path, tmp_path: Path) -> None:
    store = BucketUploads(url, tmp_path / "cache", 2**30)
    with pytest.raises(DamagedFile, match="not what was sent"):
        store.send(arrived, "0" * 64)


def test_what_was_changed_in_the_bucket_is_not_trained_on(url: str, arrived: Path, tmp_path: Path) -> None:
    store = BucketUploads(url, tmp_path / "cache", 2**30)
    store.send(arrived, SHA256)
    obstore.put(store._bucket, f"uploads/{SHA256}", CONTENT[:-1] + b"!")
    with pytest.raises(DamagedFile, match="not what was uploaded"), store.opened(SHA256):
        pass
    assert not list((tmp_path / "cache").rglob("content"))


class Source:
    """Files to fetch, with a count of how often each was."""

    def __init__(self) -> None:
        self.fetched: list[str] = []

    def file(self, number: int, size: int = 1000) -> tuple[str, bytes]:
        content = bytes([number]) * size
        return hashlib.sha256(content).hexdigest(), content

    def pieces(self, content: bytes) -> Iterator[bytes]:
        self.fetched.append(hashlib.sha256(content).hexdigest())
        yield content[:500]
        yield content[500:]


@pytest.fixture
def source() -> Source:
    return Source()


def held(folder: Path) -> set[str]:
    return {path.parent.name for path in folder.glob("*/content")}


def test_two_slots_at_once_fetch_a_file_once(tmp_path: Path, source: Source) -> None:
    sha256, content = source.file(1)
    together = threading.Barrier(4)

    def use(_: int) -> bytes:
        together.wait()
        with UploadCache(tmp_path, 10_000).opened(sha256, lambda: source.pieces(content)) as path:
            return path.read_bytes()

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(use, range(4))) == {content}
    assert source.fetched == [sha256]


def test_the_least_recently_used_goes_first_and_nothing_that_is_in_use(tmp_path: Path, source: Source) -> None:
    cache = UploadCache(tmp_path, 2_500)  # two of the files, and a half
    files = [source.file(number) for number in range(4)]
    opened = [cache.opened(sha256, lambda content=content: source.pieces(content)) for sha256, content in files]
    with opened[0]:
        for number in (1, 2, 3):
            with opened[number]:
                assert files[0][0] in held(tmp_path)
            os.utime(tmp_path / files[number][0], (number, number))
    assert held(tmp_path) == {files[0][0], files[3][0]}
    with cache.opened(files[3][0], lambda: source.pieces(files[3][1])):
        pass
    assert source.fetched == [sha256 for sha256, _ in files]


def test_reading_a_copy_again_makes_it_the_last_to_go(tmp_path: Path, source: Source) -> None:
    cache = UploadCache(tmp_path, 2_500)
    files = [source.file(number) for number in range(3)]

    def read(number: int) -> None:
        sha256, content = files[number]
        with cache.opened(sha256, lambda: source.pieces(content)):
            pass

    for number in (0, 1):
        read(number)
        os.utime(tmp_path / files[number][0], (number, number))
    read(0)
    read(2)
    assert held(tmp_path) == {files[0][0], files[2][0]}


def test_a_file_beyond_the_limit_is_held_while_it_is_in_use(tmp_path: Path, source: Source) -> None:
    sha256, content = source.file(1, 5_000)
    with UploadCache(tmp_path, 1_000).opened(sha256, lambda: source.pieces(content)) as path:
        (path.parent / "rows-0").mkdir()
        (path.parent / "rows-0" / "x.npy").write_bytes(b"unpacked")
        assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("limit", "stays"), [(1_000, True), (999, False)])
def test_the_limit_is_exact(tmp_path: Path, source: Source, limit: int, stays: bool) -> None:
    sha256, content = source.file(1)
    with UploadCache(tmp_path, limit).opened(sha256, lambda: source.pieces(content)):
        pass
    assert (held(tmp_path) == {sha256}) is stays


def test_a_fetch_that_breaks_off_leaves_no_half_file(tmp_path: Path, source: Source) -> None:
    sha256, content = source.file(1)

    def broken() -> Iterator[bytes]:
        yield content[:500]
        raise OSError("the connection broke")

    cache = UploadCache(tmp_path, 10_000)
    with pytest.raises(OSError, match="broke"), cache.opened(sha256, broken):
        pass
    assert [path.name for path in (tmp_path / sha256).iterdir()] == [".lock"]
    with cache.opened(sha256, lambda: source.pieces(content)) as path:
        assert path.read_bytes() == content


def test_a_copy_that_was_damaged_on_the_disk_is_fetched_again(tmp_path: Path, source: Source) -> None:
    sha256, content = source.file(1)
    cache = UploadCache(tmp_path, 10_000)
    for _ in range(2):
        with cache.opened(sha256, lambda: source.pieces(content)) as path:
            assert path.read_bytes() == content
        path.write_bytes(content[:-1])
    assert source.fetched == [sha256, sha256]


def test_a_data_folder_moves_into_a_bucket(url: str, arrived: Path, tmp_path: Path) -> None:
    key = "run_01hzzzzzzzzzzzzzzzzzzzzzzz/a1-0123abcd/step-5"
    FolderUploads(tmp_path / "datasets").keep(arrived, SHA256)
    for half in ("", "-2"):
        (tmp_path / "checkpoints" / f"{key}{half}").mkdir(parents=True)
        (tmp_path / "checkpoints" / f"{key}{half}" / "state.json").write_text("{}")
    (tmp_path / "checkpoints" / key / "tensors.safetensors").write_bytes(b"weights")
    bucket = {"SADDLE_DATABASE_URL": "postgresql+psycopg://", "SADDLE_STORAGE_URL": url}
    command = [sys.executable, "-m", "service.storage", str(tmp_path)]
    done = subprocess.run(command, env=os.environ | bucket, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("1 uploads and 1 checkpoints are in s3://")
    assert list(BucketStore(url).keys()) == [key]
    with BucketUploads(url, tmp_path / "other", 2**30).opened(SHA256) as content:
        assert content.read_bytes() == CONTENT
