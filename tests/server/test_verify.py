"""Finds what differs between a proxy and its master, and names it."""

import mmap
import os
import struct
from pathlib import Path

import pytest

from csp._fastpath import crc32c
from csp.model.keys import TABLE_DIGEST
from csp.store import segment
from tests.neighbours.instances import open_host
from tests.neighbours.server import Master, Proxy
from tests.server.feed_helpers import SteadyWriter, create_skills, status, wait_level


def flip_byte(instance: str, generation: int, text: bytes, places_max: int) -> int:
    """Changes one byte where a segment has the text; in how many places."""
    fd = segment.open_data_to_write(instance, generation)
    places = 0
    try:
        with mmap.mmap(fd, os.fstat(fd).st_blocks * 512) as memory:
            at = memory.find(text)
            while at >= 0 and places < places_max:
                memory[at] ^= 1
                places += 1
                at = memory.find(text, at + 1)
    finally:
        os.close(fd)
    return places


def test_equal_servers_are_equal_while_changes_flow(master: Master, proxy: Proxy) -> None:
    dbids = create_skills(master, [f"skill {number}" for number in range(50)])
    wait_level(master, proxy)
    with SteadyWriter(master, dbids):
        for server in (proxy, master):
            answer = server.cli("verify")
            assert answer.returncode == 0, answer.stdout + answer.stderr
            assert "equal at revision" in answer.stdout


def test_a_flipped_byte_is_found(tmp_path: Path, master: Master) -> None:
    dbids = create_skills(master, ["english", "a very special skill", "french"])
    with Proxy(tmp_path, master).start() as proxy:
        shown = status(proxy)
        # What was loaded is not in the log: the first place is in the object's record.
        text = b"a very special skill"
        assert flip_byte(shown["instance"], int(shown["generation"]), text, 1) == 1
        answer = proxy.cli("verify")
        assert answer.returncode == 1, answer.stdout + answer.stderr
        assert f"CfgSkill:{dbids[1]} differs" in answer.stdout
        assert f"CfgSkill:{dbids[0]}" not in answer.stdout


@pytest.mark.long
def test_a_flipped_byte_of_a_master_is_found_against_its_database(master: Master) -> None:
    (dbid,) = create_skills(master, ["a very special skill"])
    shown = status(master)
    # The log has the text too, and perhaps before the record.
    text = b"a very special skill"
    assert flip_byte(shown["instance"], int(shown["generation"]), text, 100)
    answer = master.cli("verify")
    assert answer.returncode == 1, answer.stdout + answer.stderr
    assert f"CfgSkill:{dbid} differs" in answer.stdout


def test_a_dropped_change_is_found(master: Master, proxy: Proxy) -> None:
    create_skills(master, ["english"])
    wait_level(master, proxy)
    shown = status(proxy)
    proxy.kill()
    (dbid,) = create_skills(master, ["lost on the way"])
    lose_change(shown["instance"], status(master))
    proxy.start()
    wait_level(master, proxy)
    answer = proxy.cli("verify")
    assert answer.returncode == 1, answer.stdout + answer.stderr
    assert f"CfgSkill:{dbid} is missing" in answer.stdout


def lose_change(instance: str, above: dict[str, object]) -> None:
    """Publishes the master's revision without what it changed, as a writer with a fault might."""
    revision, mark = int(str(above["revision"])), int(str(above["mark"]), 16)
    covered = struct.pack("<IQQqIIQQ", 0, revision, mark, 1, 0, 0, TABLE_DIGEST, 0)
    entry = struct.pack("<III", 0x43535033, 64, crc32c(covered)) + covered
    host = open_host(instance, reserve_bytes=1 << 30, log_bytes=1 << 20)
    assert host.published == revision - 1
    host.apply(entry)
    host.close()
