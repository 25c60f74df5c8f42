"""Each kind of storage: what is kept comes back the same, what is damaged is noticed, what is removed is gone."""

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import obstore
import pytest
from pydantic import ValidationError

from service.settings import Settings
from service.storage.bucket import BucketStore
from service.storage.bucket_uploads import BucketUploads
from service.storage.factory import open_store, open_uploads
from service.storage.files import FILES, STATE, TENSORS, key_of, sha256_of_folder
from service.storage.folder import FolderStore
from service.storage.store import Store
from service.storage.uploads import FolderUploads, UploadStore

RUN = "run_01hzzzzzzzzzzzzzzzzzzzzzzz"
KEY = f"{RUN}/a1-0123abcd/step-5"
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """A checkpoint on this machine's disk, where a trainer would have written it."""

    def make(key: str = KEY, tensors: bytes = b"\1" * 9_000_000) -> Path:
        folder = tmp_path / "kept" / key
        folder.mkdir(parents=True)
        (folder / STATE).write_bytes(b'{"step": 5}')
        (folder / TENSORS).write_bytes(tensors)
        return folder

    return make


@pytest.fixture(params=["folder", "bucket"])
def store(request: pytest.FixtureRequest, tmp_path: Path, s3: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Store:
    if request.param == "folder":
        return FolderStore(tmp_path / "kept")
    for name, value in s3.items():
        monkeypatch.setenv(name, value)
    return BucketStore(f"s3://saddle/{tmp_path.name}")


def damage(store: Store, name: str, content: bytes) -> None:
    if isinstance(store, BucketStore):
        obstore.put(store._store, f"{KEY}/{name}", content)
    else:
        assert isinstance(store, FolderStore)
        (store.root / KEY / name).write_bytes(content)


def test_what_is_kept_comes_back_the_same(store: Store, write: Write, tmp_path: Path) -> None:
    folder = write()
    sha256, content = sha256_of_folder(folder), {name: (folder / name).read_bytes() for name in FILES}
    location = store.keep(folder, sha256)
    assert key_of(location) == KEY
    assert store.sha256(location) == sha256
    for name in FILES:
        assert store.size(location, name) == len(content[name])
        assert b"".join(store.pieces(location, name)) == content[name]
    if not store.in_place:
        shutil.rmtree(folder)
    fetched = store.fetch(location, tmp_path / "cache")
    assert {name: (fetched / name).read_bytes() for name in FILES} == content
    assert store.fetch(location, tmp_path / "cache") == fetched


def test_what_is_damaged_or_missing_is_noticed(store: Store, write: Write, tmp_path: Path) -> None:
    folder = write(tensors=b"weights")
    sha256 = sha256_of_folder(folder)
    location = store.keep(folder, sha256)
    damage(store, TENSORS, b"weighty")
    assert store.sha256(location) != sha256
    with pytest.raises(FileNotFoundError):
        store.size(location.replace("step-5", "step-6"), STATE)
    with pytest.raises(FileNotFoundError):
        store.size("/etc", "passwd")


def test_what_is_removed_is_gone_and_the_rest_stays(store: Store, write: Write, tmp_path: Path) -> None:
    other = f"{RUN}/a2-4567abcd/step-9-2"
    for key in (KEY, other):
        folder = write(key, b"weights")
        location = store.keep(folder, sha256_of_folder(folder))
    assert sorted(store.keys()) == sorted(store.keys(RUN)) == [KEY, other]
    assert list(store.keys("run_of_nobody")) == []
    if isinstance(store, BucketStore):  # uploads lie beside them
        obstore.put(store._store, "uploads/" + "0" * 64, b"a,b")
    store.remove(location)
    store.remove(location)
    assert list(store.keys()) == [KEY]
    with pytest.raises(FileNotFoundError):
        store.fetch(location, tmp_path / "cache") if not store.in_place else store.size(location, STATE)


def test_a_bucket_that_kept_something_else_is_not_believed(
    tmp_path: Path, write: Write, s3: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in s3.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(OSError, match="not what was sent"):
        BucketStore(f"s3://saddle/{tmp_path.name}").keep(write(), "0" * 64)


def test_a_bucket_that_is_not_there_is_an_oserror_of_one_line(
    tmp_path: Path, write: Write, s3: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in s3.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(OSError, match=r"^[^\n]+$"):
        BucketStore("s3://nobodys-bucket/x").keep(write(tensors=b"w"), "0" * 64)


def test_a_folder_serves_only_below_its_root_and_wherever_it_is_mounted(tmp_path: Path, write: Write) -> None:
    write(tensors=b"weights")
    store = FolderStore(tmp_path / "kept")
    assert store.size(f"/another/mount/{KEY}", TENSORS) == 7
    for outside in ("/etc", f"{tmp_path}/kept/../../x", f"{RUN}/a1-0123abcd/..", f"{RUN}/a1-0123abcd/.step-5.77"):
        with pytest.raises(FileNotFoundError):
            store.size(outside, STATE)
        store.remove(outside)
    assert list(store.keys()) == [KEY]


def test_the_hash_is_of_both_files_with_their_lengths(write: Write) -> None:
    folder = write(tensors=b"weights")
    text = b'state.json 11\n{"step": 5}tensors.safetensors 7\nweights'
    assert sha256_of_folder(folder) == hashlib.sha256(text).hexdigest()


def test_the_url_says_which_kind(tmp_path: Path) -> None:
    def settings(**more: Any) -> Settings:
        return Settings(database_url="postgresql+psycopg://x", data_dir=tmp_path, **more)

    plain, folder = open_store(settings()), open_store(settings(checkpoint_url=f"file://{tmp_path}/else%20where"))
    assert isinstance(plain, FolderStore)
    assert plain.root == tmp_path / "checkpoints"
    assert isinstance(folder, FolderStore)
    assert folder.root == tmp_path / "else where"
    bucket = open_store(settings(checkpoint_url="s3://saddle/a/b/"))
    assert isinstance(bucket, BucketStore)
    assert bucket.url == "s3://saddle/a/b"
    for wrong in ("http://x", "/plain/path", "s3:///nothing"):
        for name in ("checkpoint_url", "storage_url"):
            with pytest.raises(ValidationError, match=name):
                settings(**{name: wrong})


def test_one_url_is_for_checkpoints_and_uploads_and_the_old_one_for_checkpoints(tmp_path: Path) -> None:
    def stores(**urls: str) -> tuple[Store, UploadStore]:
        made = Settings(database_url="postgresql+psycopg://x", data_dir=tmp_path, **urls)
        return open_store(made), open_uploads(made)

    checkpoints, uploads = stores(storage_url=f"file://{tmp_path}/shared")
    assert isinstance(checkpoints, FolderStore)
    assert (checkpoints.root, uploads.folder) == (tmp_path / "shared/checkpoints", tmp_path / "shared/datasets")
    checkpoints, uploads = stores(storage_url="s3://saddle/a")
    assert isinstance(checkpoints, BucketStore)
    assert isinstance(uploads, BucketUploads)
    assert uploads.folder == tmp_path / "datasets/.cache"
    checkpoints, uploads = stores(checkpoint_url="s3://saddle/a")
    assert isinstance(checkpoints, BucketStore)
    assert isinstance(uploads, FolderUploads)
    checkpoints, uploads = stores(checkpoint_url=f"file://{tmp_path}/kept", storage_url="s3://saddle/a")
    assert isinstance(checkpoints, FolderStore)
    assert checkpoints.root == tmp_path / "kept"
    assert isinstance(uploads, BucketUploads)
