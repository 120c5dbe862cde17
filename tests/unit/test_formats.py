"""The bytes that the model builds are the structures that shm.h declares."""

from __future__ import annotations

import shutil
import struct
import subprocess
from hashlib import blake2b
from pathlib import Path
from random import Random

import pytest

from csp._fastpath import crc32c, next_mark
from csp.model.entry import (
    Change,
    build_entry,
    event_json,
    parse_entry,
    why_not_continues,
)
from csp.model.extract import Nothing
from csp.model.grants import GrantsChange, build_grants, grants_in
from csp.model.image import build_image, build_tombstone, parse_header, parse_keys
from csp.model.keys import TABLE_DIGEST
from csp.model.places import OWN_NODE
from csp.model.rights import SYSTEM
from csp.model.types import CLASSES

HEADERS = Path(__file__).resolve().parent.parent.parent / "csp" / "_fastpath" / "store"
RECORD = "prev crc node revision dbid class_id flags size tenant_dbid container_dbid"
RECORD += " container_class spare reply_size brief_size keys_size spare2"
ENTRY = "format size crc item_count revision mark time_ms flags spare table extras"
ITEM = "size op flags class_id dbid image_size event_size tenant_count before_dbid after_dbid"
ITEM += " before_class after_class base ref node_before node_after"
GRANT = "dbid class_id grant spare"
SKILL = CLASSES["CfgSkill"]


def skill(revision: int = 3, name: str = "Französisch") -> dict[str, object]:
    return {
        "DBID": 101,
        "revision": revision,
        "folderDBID": 120,
        "tenantDBID": 7,
        "name": name,
        "state": "enabled",
    }


@pytest.fixture(scope="module")
def offsets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, int]]:
    """Offset and size of each field, as the C compiler lays it out."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    assert compiler, "csp itself is built with a C compiler"
    lines = []
    structures = {
        "csp_record_t": RECORD, "csp_entry_t": ENTRY, "csp_item_t": ITEM, "csp_grant_t": GRANT,
    }  # fmt: skip
    for name, fields in structures.items():
        for field in fields.split():
            lines.append(
                f'printf("{name}.{field} %zu %zu\\n", offsetof({name}, {field}),'
                f" sizeof((({name} *)0)->{field}));"
            )
    folder = tmp_path_factory.mktemp("formats")
    source, program = folder / "offsets.c", folder / "offsets"
    head = '#include <stddef.h>\n#include <stdint.h>\n#include <stdio.h>\n#include "shm.h"\n'
    source.write_text(f"{head}int main(void) {{ {' '.join(lines)} return 0; }}\n")
    subprocess.run([compiler, f"-I{HEADERS}", "-o", program, source], check=True, timeout=60)
    output = subprocess.run([program], capture_output=True, text=True, check=True, timeout=60)
    rows = (line.split() for line in output.stdout.splitlines())
    return {name: (int(offset), int(size)) for name, offset, size in rows}


def field(data: bytes, place: tuple[int, int], base: int = 0) -> int:
    offset, size = place
    return int.from_bytes(data[base + offset : base + offset + size], "little")


def test_a_record_image_has_its_fields_where_c_reads_them(
    offsets: dict[str, tuple[int, int]],
) -> None:
    image = build_image(SKILL, skill(), 48, Nothing())
    found = {name: field(image, offsets[f"csp_record_t.{name}"]) for name in RECORD.split()}
    header = parse_header(image)._asdict()
    place = header.pop("container")
    places = {"container_class": place[0], "container_dbid": place[1]}
    assert found == {**header, **places, "spare": 0, "spare2": 0}
    assert found["size"] == len(image)
    assert (found["revision"], found["dbid"], found["class_id"]) == (48, 101, 13)
    assert (found["tenant_dbid"], found["container_class"], found["container_dbid"]) == (7, 22, 120)
    assert (found["prev"], found["node"]) == (0, 0)
    assert len(image) % 8 == 0
    assert found["crc"] == crc32c(image[16:])


def test_reply_and_brief_are_framed_and_follow_the_header() -> None:
    image = build_image(SKILL, skill(), 48, Nothing())
    header = parse_header(image)
    for start, size in ((64, header.reply_size), (64 + header.reply_size, header.brief_size)):
        frame = image[start : start + size]
        length, _, rest = frame.partition(b"\r\n")
        assert length[:1] == b"$"
        assert int(length[1:]) == len(rest) - 2
        assert rest.endswith(b"}\r\n")


def test_a_tombstone_is_a_header_alone(offsets: dict[str, tuple[int, int]]) -> None:
    image = build_tombstone(13, 101, 50, 7, (22, 120))
    assert len(image) == 64
    assert field(image, offsets["csp_record_t.flags"]) == 1
    sizes = ("reply_size", "brief_size", "keys_size")
    assert [field(image, offsets[f"csp_record_t.{name}"]) for name in sizes] == [0, 0, 0]


def entry_bytes() -> bytes:
    before, after = skill(3), skill(3, "日本語")
    changes = [
        Change("update", SKILL, 101, before, after),
        Change("delete", SKILL, 102, before, account_changed=True),
    ]
    images = [build_image(SKILL, after, 48, Nothing()), b""]
    return build_entry(48, 77, -5, {"account": "CfgPerson:100"}, changes, images)


def test_a_log_entry_has_its_fields_where_c_reads_them(
    offsets: dict[str, tuple[int, int]],
) -> None:
    data = entry_bytes()
    entry = {name: field(data, offsets[f"csp_entry_t.{name}"]) for name in ENTRY.split()}
    assert entry["format"] == 0x43535033
    assert (entry["table"], entry["extras"]) == (TABLE_DIGEST, 0)
    assert (entry["size"], entry["item_count"], entry["revision"]) == (len(data), 2, 48)
    assert entry["crc"] == crc32c(data[12:])
    assert struct.pack("<Q", entry["time_ms"]) == struct.pack("<q", -5)
    at, found = 64, []
    for _ in range(entry["item_count"]):
        found.append(
            {name: field(data, offsets[f"csp_item_t.{name}"], at) for name in ITEM.split()}
        )
        at += found[-1]["size"]
        assert at % 8 == 0
    assert at == len(data)
    assert [(item["op"], item["flags"], item["dbid"]) for item in found] == [
        (2, 0, 101),
        (3, 1, 102),
    ]
    assert found[1]["image_size"] == 0
    nodes = ("before_class", "before_dbid", "after_class", "after_dbid")
    places = [[item[name] for name in nodes] for item in found]
    assert places == [[22, 120, 22, 120], [22, 120, 0, 0]]
    assert not any(item[name] for item in found for name in ("ref", "node_before", "node_after"))


def test_the_mark_chains_over_all_that_the_entry_says() -> None:
    data = entry_bytes()
    entry = parse_entry(data)
    covered = (77).to_bytes(8, "little") + data[12:24] + bytes(8) + data[32:]
    assert entry.mark == int.from_bytes(blake2b(covered).digest()[:8], "little")
    assert why_not_continues(data, 77) is None
    assert "mark" in str(why_not_continues(data, 78))
    spoilt = bytearray(data)
    spoilt[-9] ^= 1
    assert "checksum" in str(why_not_continues(bytes(spoilt), 77))


def test_the_mark_is_the_digest_of_a_known_algorithm_whatever_the_size() -> None:
    random = Random(1)
    for size in [*range(64, 420), 1024, 4099]:
        data, before = random.randbytes(size), random.getrandbits(64)
        covered = before.to_bytes(8, "little") + data[12:24] + bytes(8) + data[32:]
        assert next_mark(before, data) == int.from_bytes(blake2b(covered).digest()[:8], "little")


@pytest.mark.parametrize("cut", [0, 20, 63, 80, 118])
def test_a_cut_entry_is_refused(cut: int) -> None:
    with pytest.raises(ValueError, match=r"bytes|cut off"):
        parse_entry(entry_bytes()[:cut])


def test_grants_are_rows_that_c_reads_and_lead_from_object_and_accounts(
    offsets: dict[str, tuple[int, int]],
) -> None:
    folder, user, users = (22, 120), (3, 101), (21, 95)
    image = build_grants(7, folder, {users: 9 | 128, SYSTEM: 0, user: 127}, 48)
    head = {name: field(image, offsets[f"csp_record_t.{name}"]) for name in RECORD.split()}
    assert (head["class_id"], head["dbid"], head["revision"]) == (252, 7, 48)
    assert (head["container_class"], head["container_dbid"]) == folder
    rows = []
    for at in range(64, 64 + head["reply_size"], 8):
        row = [field(image, offsets[f"csp_grant_t.{name}"], at) for name in GRANT.split()]
        rows.append(tuple(row))
    assert rows == [(0, 0, 0, 0), (101, 3, 127, 0), (95, 21, 137, 0)]
    assert [(key.key_id, key.value) for key in parse_keys(image)] == [
        *((61, struct.pack("<II", dbid, cls)) for dbid, cls, *_ in rows),
        (62, struct.pack("<II", 120, 22)),
    ]
    assert grants_in(image) == {SYSTEM: 0, user: 127, users: 137}


def test_a_change_of_grants_is_an_item_beside_that_of_its_object() -> None:
    place = (SKILL.id, 101)
    after = {SYSTEM: 127 | 128, (21, 95): 0}
    given = GrantsChange("create", 7, place, after)
    taken = GrantsChange("delete", 8, (22, 120), {})
    marked = Change("update", SKILL, 101, skill(3), skill(3), {}, own=(False, True))
    images = [build_grants(7, place, after, 48), b"", build_image(SKILL, skill(), 48, Nothing())]
    entry = build_entry(48, 77, 5, {}, [given, taken, marked], images)
    assert why_not_continues(entry, 77) is None
    one, other, obj = parse_entry(entry).items
    assert (one.op, one.class_id, one.dbid, one.base) == ("create", 252, 7, 0)
    assert (one.before, one.after, one.tenants) == (place, place, (1,))
    assert event_json(one) == {
        "op": "grant", "class": "CfgSkill", "DBID": 101, "revision": 48, "time": 5, "more": False,
        "grants": {"SYSTEM": "R,C,U,X,D,RP,CP,propagate", "CfgAccessGroup:95": "none"},
    }  # fmt: skip
    assert (other.op, other.image, event_json(other)["grants"]) == ("delete", b"", {})
    assert (obj.before, obj.after, obj.base) == ((22, 120), (SKILL.id | OWN_NODE, 101), 3)
