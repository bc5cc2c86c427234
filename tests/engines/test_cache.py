"""The cache of compiled engines: what is kept, what is not trusted, and who builds."""

import errno
import os
import stat
import threading
from pathlib import Path

import pytest

from imgfx.engines.cache import (
    EngineCache,
    EngineKey,
    Entry,
    default_folder,
    package_sources,
    sources_digest,
)
from imgfx.errors import EngineError

KEY = EngineKey("fast 1.0", "denoise-ae", "ab" * 32, "cd" * 32, "a processor", "bf16")
BLOB = bytes(range(256)) * 40 + b"\n{}\n"  # line ends are nothing special in it
ENTRY = Entry(KEY, BLOB, 61.5, 2.25)


@pytest.fixture
def cache(tmp_path):
    return EngineCache(tmp_path / "deep" / "engines")


@pytest.fixture
def stored(cache):
    """The file of the entry."""
    cache.store(ENTRY)
    (path,) = cache.folder.glob("*.engine")
    return path


def test_what_is_stored_is_loaded(cache, stored):
    assert cache.load(KEY) == ENTRY
    assert stored.name == f"{KEY.digest}.engine"


def test_an_empty_cache_has_nothing(cache):
    assert cache.load(KEY) is None
    assert cache.entries() == []
    assert cache.clear() == (0, 0)
    assert not cache.folder.exists()  # looking makes nothing


@pytest.mark.parametrize("part", list(KEY.__dict__))
def test_every_part_of_a_key_counts(cache, stored, part):
    other = EngineKey(**{**KEY.__dict__, part: "other"})
    assert other.digest != KEY.digest
    assert cache.load(other) is None


def test_an_entry_under_another_keys_name_is_not_taken(cache, stored):
    other = EngineKey(**{**KEY.__dict__, "precision": "fp32"})
    stored.rename(stored.with_name(f"{other.digest}.engine"))
    assert cache.load(other) is None


@pytest.mark.parametrize("kept", [0, 5, 40, 300, -1])
def test_a_truncated_entry_is_built_anew(cache, stored, kept):
    stored.write_bytes(stored.read_bytes()[:kept])
    assert cache.load(KEY) is None


@pytest.mark.parametrize("place", [0, 20, -1, -5000])
def test_a_tampered_entry_is_built_anew(cache, stored, place):
    data = bytearray(stored.read_bytes())
    data[place] ^= 1
    stored.write_bytes(data)
    entry = cache.load(KEY)
    assert entry is None or entry == ENTRY  # a changed space between header fields is none


def test_a_header_that_promises_more_is_not_followed(cache, stored):
    magic, rest = stored.read_bytes().split(b"\n", 1)
    for header in (b"[]", b"{}", b"1", b'{"key": {"engine": 1}, "sha256": ""}', b"\xff"):
        stored.write_bytes(magic + b"\n" + header + b"\n" + rest.split(b"\n", 1)[1])
        assert cache.load(KEY) is None


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
@pytest.mark.parametrize("mode", [0o622, 0o606, 0o666])
def test_an_entry_that_others_could_have_written_is_built_anew(cache, stored, mode):
    stored.chmod(mode)
    assert cache.load(KEY) is None
    cache.store(ENTRY)
    assert stat.S_IMODE(stored.stat().st_mode) == 0o600
    assert cache.load(KEY) == ENTRY


@pytest.mark.skipif(os.name != "posix" or os.getuid() != 0, reason="only root can give files away")
def test_a_foreign_entry_is_built_anew_and_a_foreign_folder_refused(cache, stored):
    os.chown(stored, 12345, 12345)
    assert cache.load(KEY) is None
    os.chown(cache.folder, 12345, 12345)
    with pytest.raises(EngineError, match=r"belongs to another user.*IMGFX_CACHE"):
        cache.load(KEY)
    with pytest.raises(EngineError, match="belongs to another user"):
        cache.store(ENTRY)


def test_a_link_is_not_followed(cache, stored, tmp_path):
    stored.rename(tmp_path / "elsewhere")
    stored.symlink_to(tmp_path / "elsewhere")
    assert cache.load(KEY) is None


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
def test_the_folder_is_private_and_put_right(cache, stored):
    assert stat.S_IMODE(cache.folder.stat().st_mode) == 0o700
    cache.folder.chmod(0o777)
    assert cache.load(KEY) == ENTRY
    assert stat.S_IMODE(cache.folder.stat().st_mode) == 0o700


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")
    cache = EngineCache(tmp_path / "file" / "engines")
    with pytest.raises(EngineError, match=r"file/engines: cannot make"):
        cache.store(ENTRY)


def test_a_folder_without_room_for_a_lock_is_named(cache, stored, monkeypatch):
    monkeypatch.setattr("filelock.FileLock.acquire", refused)
    reason = r"\.lock: cannot write: Permission denied"
    with pytest.raises(EngineError, match=reason), cache.building(KEY):
        pass


def refused(_lock):
    raise PermissionError(errno.EACCES, "Permission denied")


def test_one_builds_and_the_others_wait_for_it(cache):
    built, order = [], []

    def use(number):
        with cache.building(KEY):
            order.append(number)
            if cache.load(KEY) is None:
                built.append(number)
                cache.store(ENTRY)

    threads = [threading.Thread(target=use, args=[number]) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(order) == list(range(6))
    assert built == order[:1]


def test_what_leads_nowhere_is_listed_and_cleared_too(cache, stored):
    (cache.folder / "gone.engine").symlink_to(cache.folder / "nothing")
    assert {entry.path.name for entry in cache.entries()} >= {"gone.engine"}
    assert len(cache.entries()) == 2
    assert cache.clear()[0] == 2
    assert not list(cache.folder.iterdir())


def test_what_another_process_takes_away_meanwhile_is_passed_over(cache, stored, monkeypatch):
    (cache.folder / "a.engine").write_bytes(b"")
    look = Path.lstat

    def lstat(path):
        found = look(path)
        path.unlink()
        return found

    monkeypatch.setattr(Path, "lstat", lstat)
    assert cache.clear()[0] == 2
    assert not list(cache.folder.iterdir())


def test_entries_are_listed_and_cleared(cache, stored):
    other = EngineKey(**{**KEY.__dict__, "precision": "fp32"})
    cache.store(Entry(other, b"x", 100.0, 1.0))
    (cache.folder / f"{other.digest}.engine").write_bytes(b"damaged")
    (cache.folder / "notes.txt").write_text("not ours")
    listed = {item.path.name: item.entry for item in cache.entries()}
    assert listed == {stored.name: ENTRY, f"{other.digest}.engine": None}
    count, size = cache.clear()
    assert count == 2
    assert size > len(BLOB)
    assert [path.name for path in cache.folder.iterdir()] == ["notes.txt"]


def test_the_folder_is_the_named_one_or_the_users(monkeypatch, tmp_path):
    monkeypatch.setenv("IMGFX_CACHE", str(tmp_path / "mine"))
    assert default_folder() == tmp_path / "mine" / "engines"
    monkeypatch.delenv("IMGFX_CACHE")
    assert default_folder().name == "engines"
    assert "imgfx" in str(default_folder())


def test_a_changed_line_of_source_is_another_digest(tmp_path):
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__init__.py").write_text("")
    network = tmp_path / "package" / "network.py"
    network.write_text("width = 8\n")
    before = sources_digest(tmp_path / "package")
    assert before == sources_digest(tmp_path / "package")
    network.write_text("width = 9\n")
    assert before != sources_digest(tmp_path / "package")


def test_the_sources_of_a_package_are_found_without_importing_it():
    assert package_sources("imgfx_superres_fast.model").name == "imgfx_superres_fast"
    with pytest.raises(EngineError, match=r"nowhere\.model: its sources are not found"):
        package_sources("nowhere.model")
