"""Writes snapshots of a store that changes, damages them in every way, and loads them again."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from struct import pack_into

import pytest

from csp._fastpath import Control, StoreFull, crc32c
from csp.model.accounts import build_account_image
from csp.model.entry import Change, build_entry, mark_of
from csp.model.extract import Nothing
from csp.model.feed import FED_CLASSES, Position
from csp.model.grants import GrantsChange, build_grants
from csp.model.image import build_image
from csp.model.rights import READ, SYSTEM, Grants
from csp.model.types import ACCOUNT_CLASS_ID, CLASSES
from csp.snapshot import write
from csp.snapshot.file import SnapshotFile
from csp.snapshot.info import Info, SnapshotRefused
from csp.snapshot.load import load_snapshot
from csp.snapshot.pace import Pace
from csp.snapshot.write import SnapshotFailed, write_snapshot
from csp.store import segment
from csp.store.host import StoreHost
from tests.neighbours import instances
from tests.unit.test_store_host import load, open_host, read, rename

APP = "proxy1"
PERSON = CLASSES["CfgPerson"]
PLACE = (PERSON.id, 7)
NOW = Pace(1.0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "snapshot"


@pytest.fixture
def second(instance: str) -> Iterator[str]:
    """Another instance, to load into."""
    with instances.made(f"{instance}-second") as name:
        yield name


class Between:
    """A pace that does something after each block instead of resting."""

    def __init__(self, act: Callable[[], None], times: int = 1_000_000) -> None:
        self._act = act
        self._left = times

    def rest(self) -> None:
        self._left -= 1
        if self._left >= 0:
            self._act()


def person_entry(dbid: int, host: StoreHost, op: str = "update") -> bytes:
    """A change of a person's account; or the person's end."""
    revision = host.published + 1
    one = {
        "DBID": dbid, "revision": revision, "folderDBID": 101, "tenantDBID": 1,
        "userName": f"u{dbid}", "employeeID": f"e{dbid}", "state": "enabled",
    }  # fmt: skip
    body = b"" if op == "delete" else build_image(PERSON, one, revision, Nothing())
    before = None if op == "create" else one
    after = None if op == "delete" else one
    change = Change(op, PERSON, dbid, before=before, after=after, account_changed=True)
    return build_entry(revision, host.mark, 2_000, {}, [change], [body])


def give_account(host: StoreHost, dbid: int, secret: str, op: str = "update") -> None:
    """Publishes a person with a new hash."""
    account = build_account_image(dbid, {"user": f"u{dbid}", "hash": secret}, host.published + 1)
    host.apply(person_entry(dbid, host, op), [account])


def give_rights(host: StoreHost, number: int, grants: Grants) -> None:
    """Publishes what is granted on a person; no grant: nothing any more."""
    revision = host.published + 1
    image = build_grants(number, PLACE, grants, revision) if grants else b""
    change = GrantsChange("create" if grants else "delete", number, PLACE, grants)
    host.apply(build_entry(revision, host.mark, 2_000, {}, [change], [image]))


def contents(instance: str, host: StoreHost) -> dict[str, object]:
    """All that a reader could find."""
    reader = read(instance, host)
    reader.pin()
    found: dict[str, object] = {
        "state": (reader.stream, reader.revision, reader.mark, reader.time_ms),
        "records": {one: reader.raw_images(one, 0, 1 << 30)[0] for one in FED_CLASSES},
        "log": [reader.raw_entry(one) for one in range(reader.oldest, reader.revision + 1)],
        "rights": (reader.raw_rights(*PLACE, [SYSTEM]), reader.raw_granted(*SYSTEM)),
        "counts": {cls.name: reader.count(cls.id) for cls in CLASSES.values()},
    }
    assert reader.probe(1) == 0
    reader.unpin()
    return found


def loaded(instance: str, path: Path) -> tuple[StoreHost, Info]:
    """A store that was filled from the file."""
    host = open_host(instance)
    return host, load_snapshot(host, path, APP)


def test_what_was_written_is_what_is_loaded(instance: str, second: str, path: Path) -> None:
    host = open_host(instance)
    load(host, range(101, 301))
    for number in range(20):
        host.apply(rename(101 + number, f"new {number}", 6 + number, host.mark))
    give_account(host, 7, "secret", "create")
    give_rights(host, 1, {(PERSON.id, 7): READ})
    give_rights(host, 1, {})
    give_rights(host, 2, {SYSTEM: READ})
    host.control.set_link(1, host.published, 123_456)
    info = write_snapshot(instance, path, APP, NOW)
    assert (info.end.revision, info.end.mark) == (host.published, host.mark)
    assert info.heard_ms == 123_456
    other, told = loaded(second, path)
    assert told == info
    before, after = contents(instance, host), contents(second, other)
    assert before == after
    assert after["rights"] == (READ, [PLACE])
    assert len(after["log"]) == 24  # type: ignore[arg-type]
    other.apply(rename(150, "on top", other.published + 1, other.mark))


def test_what_changes_while_it_is_written_is_whole_in_it(
    instance: str, second: str, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write, "SLICE_BYTES", 2_000)
    host = open_host(instance)
    load(host, range(101, 201))
    for dbid in (7, 8, 9):
        give_account(host, dbid, "old", "create")
    turn = [0]

    def change() -> None:
        """Of what was read already, and of what is still to be read."""
        turn[0] += 1
        dbid = 101 + turn[0] * 37 % 100
        if turn[0] % 5 == 0:
            give_account(host, 7, f"secret {turn[0]}")
        elif turn[0] % 7 == 0:
            number = turn[0] // 7
            give_rights(host, (number + 1) // 2, {SYSTEM: READ} if number % 2 else {})
        elif turn[0] == 6:
            host.apply(person_entry(8, host, "delete"))
        else:
            host.apply(rename(dbid, f"turn {turn[0]}", host.published + 1, host.mark))

    info = write_snapshot(instance, path, APP, Between(change, 60))  # type: ignore[arg-type]
    assert info.begin.revision < info.end.revision
    other, _ = loaded(second, path)
    assert (other.published, other.mark) == (info.end.revision, info.end.mark)
    while other.published < host.published:
        reader = read(instance, host)
        entry = reader.raw_entry(other.published + 1)
        assert entry is not None
        other.apply(entry)
    first, then = contents(instance, host), contents(second, other)
    for one in FED_CLASSES:
        if one != ACCOUNT_CLASS_ID:
            assert first["records"][one] == then["records"][one]  # type: ignore[index]


def test_accounts_are_those_of_the_files_revision(
    instance: str, second: str, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write, "SLICE_BYTES", 2_000)
    host = open_host(instance)
    load(host, range(101, 201))
    for dbid in (7, 8):
        give_account(host, dbid, "old", "create")
    block = [0]

    def change() -> None:
        block[0] += 1
        if block[0] == 2:
            give_account(host, 7, "new")

    info = write_snapshot(instance, path, APP, Between(change))  # type: ignore[arg-type]
    assert info.end.revision == host.published
    other, _ = loaded(second, path)
    assert b'"new"' in (other.image(ACCOUNT_CLASS_ID, 7) or b"")
    assert contents(instance, host) == contents(second, other)


def test_the_file_is_private_and_leaves_no_draft(instance: str, path: Path) -> None:
    host = open_host(instance)
    load(host, range(101, 111))
    os.umask(0)
    write_snapshot(instance, path, APP, NOW)
    os.umask(0o077)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [one.name for one in path.parent.iterdir()] == ["snapshot"]


def test_a_writer_that_fails_leaves_the_snapshot_before(instance: str, path: Path) -> None:
    host = open_host(instance)
    load(host, range(101, 111))
    write_snapshot(instance, path, APP, NOW)
    before = path.read_bytes()

    def fail() -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        write_snapshot(instance, path, APP, Between(fail))  # type: ignore[arg-type]
    assert path.read_bytes() == before
    assert [one.name for one in path.parent.iterdir()] == ["snapshot"]


def test_a_generation_that_is_replaced_meanwhile_is_not_kept(instance: str, path: Path) -> None:
    host = open_host(instance)
    load(host, range(101, 111))
    flip = Between(lambda: load(host, range(101, 121), 9, 99), 1)
    with pytest.raises(SnapshotFailed, match="replaced"):
        write_snapshot(instance, path, APP, flip)  # type: ignore[arg-type]
    assert not path.exists()


def test_nothing_loaded_is_no_snapshot(instance: str, path: Path) -> None:
    with pytest.raises(SnapshotFailed, match="nothing"):
        write_snapshot(instance, path, APP, NOW)


def test_another_key_tables_records_get_this_ones_keys(
    instance: str, second: str, path: Path
) -> None:
    host = open_host(instance)
    load(host, range(101, 111))
    write_snapshot(instance, path, APP, NOW, table=4711)
    other, info = loaded(second, path)
    assert info.table == 4711
    assert contents(instance, host) == contents(second, other)


# ---- files that can't be used


def written(instance: str, path: Path) -> bytes:
    host = open_host(instance)
    load(host, range(101, 131))
    host.apply(rename(101, "new", 6, host.mark))
    write_snapshot(instance, path, APP, NOW)
    host.close()
    return path.read_bytes()


def refusal(instance: str, path: Path, app: str = APP) -> str:
    """The words with which the file is refused, the store being as it was."""
    host = open_host(instance)
    with pytest.raises(SnapshotRefused) as refused:
        load_snapshot(host, path, app)
    assert not host.loaded
    assert segment.generations(instance) == []
    host.close()
    return f"{refused.value.kind}: {refused.value}"


def test_each_cut_and_each_changed_byte_is_noticed(instance: str, second: str, path: Path) -> None:
    whole = written(instance, path)
    for size in [*range(0, len(whole), len(whole) // 61), len(whole) - 1]:
        path.write_bytes(whole[:size])
        assert "damaged" in refusal(second, path)
    for at in [*range(0, len(whole), len(whole) // 151), *range(len(whole) - 36, len(whole))]:
        if 12 <= at < 16 or len(whole) - 20 <= at < len(whole) - 16:
            continue  # spare bytes
        changed = bytearray(whole)
        changed[at] ^= 0x10
        path.write_bytes(changed)
        refusal(second, path)


def test_another_format_or_application_is_told_apart_from_damage(
    instance: str, second: str, path: Path
) -> None:
    whole = bytearray(written(instance, path))
    assert "another server's: it is of Application 'proxy1'" in refusal(second, path, "other")
    pack_into("<I", whole, 8, 9)
    path.write_bytes(whole)
    assert "another release: it has format 9" in refusal(second, path)


def test_a_missing_file_is_no_refusal(instance: str, path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load_snapshot(open_host(instance), path, APP)


def test_a_link_or_a_folder_is_refused(instance: str, second: str, path: Path) -> None:
    written(instance, path)
    path.rename(path.with_name("elsewhere"))
    path.symlink_to(path.with_name("elsewhere"))
    assert "can't be opened" in refusal(second, path)
    path.unlink()
    path.mkdir()
    assert "no file" in refusal(second, path)


def test_blocks_that_are_left_out_or_swapped_are_noticed(
    instance: str, second: str, path: Path
) -> None:
    whole = written(instance, path)
    with SnapshotFile(path) as file:
        places = [(block.at - 16, block.at + len(block.payload)) for block in file.blocks()]
    (a, b), (c, d) = places[0], places[1]
    swapped = whole[:a] + whole[c:d] + whole[a:b] + whole[d:]
    path.write_bytes(swapped)
    assert crc32c(whole[a + 16 : b]) == int.from_bytes(whole[a + 4 : a + 8], "little")
    assert "out of order" in refusal(second, path)


def test_a_change_that_does_not_follow_is_refused(
    instance: str, second: str, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = open_host(instance)
    load(host, range(101, 111))
    act = Between(lambda: host.apply(rename(105, "x", host.published + 1, host.mark)), 1)
    forged = Position

    def position(stream: bytes, revision: int, mark: int) -> object:
        return forged(stream, revision, mark ^ (revision == 5))

    monkeypatch.setattr(write, "Position", position)
    write_snapshot(instance, path, APP, act)  # type: ignore[arg-type]
    host.close()
    assert "does not follow" in refusal(second, path)


def test_without_room_for_the_log_the_objects_are_loaded_alone(
    instance: str, second: str, path: Path
) -> None:
    host = open_host(instance)
    load(host, range(101, 111))
    for revision in range(6, 30):
        host.apply(rename(101, f"new {revision}", revision, host.mark))
    write_snapshot(instance, path, APP, NOW)
    small = open_host(second)
    taken: list[int] = []
    seed = small.seed_log

    def full(entry: bytes) -> None:
        taken.append(len(entry))
        if len(taken) > 3:
            raise StoreFull("no room")
        seed(entry)

    small.seed_log = full  # type: ignore[method-assign]
    load_snapshot(small, path, APP)
    assert small.published == 29
    assert len(taken) == 4
    assert segment.generations(second) == [1]


def test_what_a_small_log_can_not_keep_is_left_out(instance: str, second: str, path: Path) -> None:
    host = open_host(instance)
    load(host, range(101, 111))
    for revision in range(6, 30):
        host.apply(rename(101, f"new {revision}", revision, host.mark))
    write_snapshot(instance, path, APP, NOW)
    control = Control(segment.open_control(second))
    small = StoreHost(second, control, reserve_bytes=32 << 20, log_bytes=4_000, slot=49)
    load_snapshot(small, path, APP)
    kept = contents(second, small)["log"]
    assert 0 < len(kept) < 24  # type: ignore[arg-type]
    assert mark_of(kept[-1]) == host.mark  # type: ignore[index]


def test_a_pace_keeps_the_share() -> None:
    now, cpu, slept = [0.0], [0.0], []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    pace = Pace(0.1, cpu=lambda: cpu[0], clock=lambda: now[0], sleep=sleep)
    for _ in range(100):
        cpu[0] += 0.002
        now[0] += 0.002
        pace.rest()
    assert cpu[0] / now[0] <= 0.1
    assert max(slept) <= 1.0
