"""Byte sources and the sink."""

from __future__ import annotations

import errno
import os
import pickle
import shutil
import threading
from pathlib import Path
from typing import NamedTuple

import pytest

from quantize.errors import CheckpointError, DiskError, UsageError
from quantize.storage.local import LocalFolder
from quantize.storage.sink import PartialFile, check_folder, partial_path
from quantize.storage.source import ByteSource

DATA = bytes(range(256)) * 40


@pytest.fixture
def source(tmp_path: Path) -> ByteSource:
    (tmp_path / "1_Pooling").mkdir()
    (tmp_path / "1_Pooling" / "config.json").write_bytes(b"{}")
    (tmp_path / "model.safetensors").write_bytes(DATA)
    return LocalFolder(tmp_path)


def test_files_are_listed_with_their_sizes_one_folder_deep(tmp_path: Path) -> None:
    for name in ("config.json", "1_Pooling/config.json", "a/b/deep.json", ".git/HEAD"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    assert LocalFolder(tmp_path).files() == {"1_Pooling/config.json": 21, "config.json": 11}


def test_reads_are_exact_at_any_offset(source: ByteSource) -> None:
    assert source.read("model.safetensors", 100, 300) == DATA[100:400]
    assert source.read("model.safetensors", len(DATA), 0) == b""
    assert source.read_all("1_Pooling/config.json", 2) == b"{}"
    buffer = bytearray(10)
    source.read_into("model.safetensors", 7, memoryview(buffer)[2:6])
    assert buffer == b"\0\0" + DATA[7:11] + b"\0\0\0\0"


def test_a_source_travels_to_another_process(source: ByteSource) -> None:
    copy = pickle.loads(pickle.dumps(source))
    assert copy.read("model.safetensors", 5, 5) == DATA[5:10]


def test_threads_read_the_right_bytes_at_the_same_time(source: ByteSource) -> None:
    wrong: list[int] = []

    def work(start: int) -> None:
        wrong.extend(
            offset
            for offset in range(start, len(DATA) - 16, 97)
            if source.read("model.safetensors", offset, 16) != DATA[offset : offset + 16]
        )

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_read_past_the_end_says_what_is_missing(source: ByteSource) -> None:
    with pytest.raises(CheckpointError) as caught:
        source.read("model.safetensors", len(DATA) - 4, 10)
    assert str(caught.value) == f"model.safetensors: 6 of {len(DATA) + 6} bytes are missing"


def test_a_file_that_shrinks_after_it_was_listed_is_noticed(
    source: ByteSource, tmp_path: Path
) -> None:
    (tmp_path / "model.safetensors").write_bytes(DATA[:50])
    with pytest.raises(CheckpointError) as caught:
        source.read("model.safetensors", 40, 20)
    assert caught.value.code == "truncated-file"


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "1_Pooling/../../secret", "none"])
def test_only_listed_names_can_be_read(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "model"
    (folder / "1_Pooling").mkdir(parents=True)
    (tmp_path / "secret").write_text("s")
    with pytest.raises(CheckpointError) as caught:
        LocalFolder(folder).read(name, 0, 1)
    assert caught.value.code == "no-such-file"


def test_a_link_that_leaves_the_checkpoint_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret.json").write_text("{}")
    folder = tmp_path / "snapshots" / "model"
    folder.mkdir(parents=True)
    (folder / "config.json").symlink_to("../../secret.json")
    (folder / "again.json").symlink_to("real.json")
    (folder / "real.json").write_text("[]")
    source = LocalFolder(folder)
    assert source.read_all("again.json", 10) == b"[]"
    with pytest.raises(CheckpointError, match="outside the checkpoint") as caught:
        source.read_all("config.json", 10)
    assert caught.value.code == "link-leaves-folder"


def test_links_of_a_hub_cache_are_followed_and_linked_folders_are_not(tmp_path: Path) -> None:
    snapshot = tmp_path / "snapshots" / "abc"
    (snapshot / "1_Pooling").mkdir(parents=True)
    (tmp_path / "blobs").mkdir()
    (tmp_path / "blobs" / "1234").write_bytes(DATA)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "file").write_bytes(b"")
    (snapshot / "model.safetensors").symlink_to("../../blobs/1234")
    (snapshot / "1_Pooling" / "config.json").symlink_to("../../../blobs/1234")
    (snapshot / "gone.json").symlink_to("../../blobs/5678")
    (snapshot / "linked").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    source = LocalFolder(snapshot)
    assert source.files() == {"1_Pooling/config.json": len(DATA), "model.safetensors": len(DATA)}
    assert source.read("model.safetensors", 1, 2) == DATA[1:3]


def test_a_small_file_that_is_large_is_refused(source: ByteSource) -> None:
    with pytest.raises(CheckpointError) as caught:
        source.read_all("model.safetensors", 100)
    assert caught.value.code == "file-too-large"


def test_a_folder_that_is_none_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        LocalFolder(tmp_path / "none")
    assert caught.value.code == "no-such-folder"
    assert caught.value.exit_code == 2


def test_a_file_that_vanished_is_told_with_its_name(source: ByteSource, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(DiskError) as caught:
        source.read("model.safetensors", 0, 1)
    assert (caught.value.code, caught.value.where) == ("unreadable", "model.safetensors")


def test_the_final_name_appears_with_commit_and_not_before(tmp_path: Path) -> None:
    final = tmp_path / "model.gguf"
    file = PartialFile(final, len(DATA))
    assert [path.name for path in tmp_path.iterdir()] == ["model.gguf.partial"]
    assert file.partial.stat().st_size == len(DATA)
    middle = len(DATA) // 2
    file.write(middle, memoryview(DATA)[middle:])
    file.write(0, DATA[:middle])
    file.commit()
    assert [path.name for path in tmp_path.iterdir()] == ["model.gguf"]
    assert final.read_bytes() == DATA


def test_commit_replaces_an_older_file(tmp_path: Path) -> None:
    final = tmp_path / "model.gguf"
    final.write_bytes(b"old")
    file = PartialFile(final, 3)
    file.write(0, b"new")
    assert final.read_bytes() == b"old"
    file.commit()
    assert final.read_bytes() == b"new"


@pytest.mark.parametrize("missing", [(), ("pwrite",)])
def test_threads_write_to_their_own_places(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: tuple[str, ...]
) -> None:
    for function in missing:
        monkeypatch.delattr(os, function)
    file = PartialFile(tmp_path / "model.gguf", len(DATA))
    offsets = range(0, len(DATA), 16)

    def work(start: int) -> None:
        for offset in offsets[start::4]:
            file.write(offset, DATA[offset : offset + 16])

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    file.commit()
    assert (tmp_path / "model.gguf").read_bytes() == DATA


def test_what_was_never_written_is_zero_even_over_an_old_partial(tmp_path: Path) -> None:
    final = tmp_path / "model.gguf"
    partial_path(final).write_bytes(b"x" * 64)
    file = PartialFile(final, 64)
    file.write(0, b"head")
    file.commit()
    assert final.read_bytes() == b"head".ljust(64, b"\0")


def test_resume_keeps_what_an_earlier_run_left_if_the_size_is_the_same(tmp_path: Path) -> None:
    final = tmp_path / "model.gguf"
    first = PartialFile(final, 8)
    first.write(0, b"done")
    first.abandon(keep=True)
    second = PartialFile(final, 8, resume=True)
    assert second.resumed
    second.write(4, b"more")
    second.commit()
    assert final.read_bytes() == b"donemore"
    partial_path(final).write_bytes(b"another size")
    third = PartialFile(final, 8, resume=True)
    assert not third.resumed
    third.abandon(keep=False)
    assert [path.name for path in tmp_path.iterdir()] == ["model.gguf"]


@pytest.mark.parametrize(("offset", "nbytes"), [(-1, 1), (0, 9), (8, 1)])
def test_nothing_is_written_outside_the_file(tmp_path: Path, offset: int, nbytes: int) -> None:
    file = PartialFile(tmp_path / "model.gguf", 8)
    with pytest.raises(ValueError, match="do not fit"):
        file.write(offset, bytes(nbytes))
    file.abandon(keep=False)
    assert list(tmp_path.iterdir()) == []


class Usage(NamedTuple):
    total: int
    used: int
    free: int


def test_a_disk_without_room_is_told_before_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**9, 0, 10**6))
    with pytest.raises(DiskError) as caught:
        PartialFile(tmp_path / "model.gguf", 10**7)
    assert caught.value.code == "disk-full"
    assert caught.value.exit_code == 7
    assert caught.value.reason == "10.0 MB are needed, 1.00 MB are free"
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_does_not_exist_is_told_before_work(tmp_path: Path) -> None:
    with pytest.raises(DiskError) as caught:
        check_folder(tmp_path / "none", 0)
    assert caught.value.code == "no-such-folder"
    (tmp_path / "file").write_text("")
    with pytest.raises(DiskError) as caught:
        check_folder(tmp_path / "file", 0)
    assert caught.value.code == "no-such-folder"


def failing(number: int) -> OSError:
    return OSError(number, os.strerror(number))


@pytest.mark.parametrize(
    ("number", "reference"),
    [
        (errno.ENOSPC, "disk-full"),
        (errno.EDQUOT, "disk-full"),
        (errno.EACCES, "not-writable"),
        (errno.EROFS, "not-writable"),
        (errno.EFBIG, "file-too-large"),
        (errno.EIO, "cannot-write"),
    ],
)
def test_what_the_system_says_while_writing_becomes_a_disk_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, reference: str
) -> None:
    def refuse(*_: object) -> int:
        raise failing(number)

    file = PartialFile(tmp_path / "model.gguf", 8)
    monkeypatch.setattr(os, "pwrite", refuse)
    with pytest.raises(DiskError) as caught:
        file.write(0, b"data")
    assert caught.value.code == reference
    assert caught.value.reason == os.strerror(number)
    assert caught.value.hint
    file.abandon(keep=False)
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fills_while_room_is_taken_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise failing(errno.ENOSPC)

    monkeypatch.setattr(os, "posix_fallocate", refuse, raising=False)
    with pytest.raises(DiskError) as caught:
        PartialFile(tmp_path / "model.gguf", 8)
    assert caught.value.code == "disk-full"
    assert list(tmp_path.iterdir()) == []


def test_a_file_system_that_cannot_set_room_aside_is_no_obstacle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise failing(errno.EOPNOTSUPP)

    monkeypatch.setattr(os, "posix_fallocate", refuse, raising=False)
    file = PartialFile(tmp_path / "model.gguf", 8)
    file.write(0, b"complete")
    file.commit()
    assert (tmp_path / "model.gguf").read_bytes() == b"complete"


def test_the_file_is_on_disk_before_its_final_name_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[str]] = []
    real = os.fsync

    def fsync(fd: int) -> None:
        seen.append(sorted(path.name for path in tmp_path.iterdir()))
        real(fd)

    monkeypatch.setattr(os, "fsync", fsync)
    file = PartialFile(tmp_path / "model.gguf", 1)
    file.commit()
    # Once for the data, while it is partial; once for the folder, after the rename.
    assert seen == [["model.gguf.partial"], ["model.gguf"]]


def test_a_commit_that_fails_leaves_no_final_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise failing(errno.EIO)

    file = PartialFile(tmp_path / "model.gguf", 1)
    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(DiskError):
        file.commit()
    file.abandon(keep=False)
    assert list(tmp_path.iterdir()) == []
