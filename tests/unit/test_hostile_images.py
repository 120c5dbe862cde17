"""Images and entries whose sums are right but which say what no csp says: refused, not served."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import pytest

from csp._fastpath import StoreCorrupt, crc32c
from tests.property.store_stage import PERSON, Stage, entry, image, person

REPLY = b"$2\r\n{}\r\n"


@pytest.fixture
def stage() -> Iterator[Stage]:
    made = Stage()
    yield made
    made.close()


def forged(good: bytes, old: bytes, new: bytes) -> bytes:
    """The image with other bytes of the same length, and the sum of what it then is."""
    assert len(old) == len(new)
    assert old in good
    body = good.replace(old, new, 1)[16:]
    return good[:8] + struct.pack("<II", crc32c(body), 0) + body


@pytest.mark.parametrize(
    "frame",
    [
        b"$9\r\n{}\r\n",
        b"$1\r\n{}\r\n",
        b"*2\r\n{}\r\n",
        b"$2x\n{}\r\n",
        b"$2\r\n{}xx",
        b"$00000\r\n",
    ],
)
def test_a_reply_that_is_no_frame_is_refused(stage: Stage, frame: bytes) -> None:
    thing = person(b"a", 1, b"enabled")
    stage.writer.load_begin(b"stream-of-16-byt")
    with pytest.raises(StoreCorrupt):
        stage.writer.load(forged(image(PERSON, 101, 1, thing), REPLY, frame))
    stage.writer.load(image(PERSON, 101, 1, thing))
    stage.writer.load_end(1, 7, 0)
    assert stage.writer.image(PERSON, 101) is not None


def test_an_entry_about_another_object_than_its_image_is_refused_while_loading(
    stage: Stage,
) -> None:
    thing = person(b"a", 1, b"enabled")
    good = entry(2, [(PERSON, 101, thing)])
    item = bytearray(good)
    struct.pack_into("<I", item, 48 + 8, 102)  # the item's DBID
    crc = crc32c(bytes(item[12:]))
    struct.pack_into("<I", item, 8, crc)
    stage.writer.load_begin(b"stream-of-16-byt")
    with pytest.raises(StoreCorrupt):
        stage.writer.load_entry(bytes(item))
    stage.writer.load_entry(good)
