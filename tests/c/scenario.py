"""One writer changes a store while threads read it without the GIL; any failed check is an error.

Run with an extension that reports races (races.py) or bad accesses (tests/fuzz/build.py).
"""

from __future__ import annotations

import random
import sys
import threading
import time

from csp._fastpath import StoreFull, StoreReader
from tests.property.store_stage import GROUP, PERSON, Item, Stage, group, person

READERS = 3
OBJECTS = 400


def read_until(stop: threading.Event, reader: StoreReader, failures: list[int]) -> None:
    """Probes turn by turn; each turn runs without the GIL."""
    while not stop.is_set():
        failures[0] += reader.probe(3)
        failures[1] += 1


def changes(chance: random.Random) -> list[Item]:
    items: list[Item] = []
    for _ in range(chance.choice([1, 3, 40])):
        name = b"user%d" % chance.randrange(OBJECTS)
        thing = person(name, chance.randrange(12), chance.choice([b"enabled", b"disabled"]))
        gone = chance.random() < 0.3
        items.append((PERSON, chance.randrange(1, OBJECTS), None if gone else thing))
    number = chance.randrange(1, 5)
    items.append((GROUP, number, group(number, chance.sample(range(1, OBJECTS), 300))))
    return items


def main(seconds: float) -> int:
    chance = random.Random(2)
    stage = Stage(reserve_bytes=16 << 20, log_bytes=1 << 18)
    stage.load({(PERSON, dbid): person(b"u%d" % dbid, 1, b"enabled") for dbid in range(1, OBJECTS)})
    stop = threading.Event()
    failures = [[0, 0] for _ in range(READERS)]
    readers = [stage.reader(slot) for slot in range(READERS)]
    threads = []
    for reader, failed in zip(readers, failures, strict=True):
        reader.share_mapping(stage.writer)
        threads.append(threading.Thread(target=read_until, args=(stop, reader, failed)))
    for thread in threads:
        thread.start()
    until = time.monotonic() + seconds
    refused = 0
    while time.monotonic() < until:
        try:
            stage.apply(changes(chance))
        except StoreFull:
            refused += 1
        stage.writer.reclaim()
    stop.set()
    for thread in threads:
        thread.join()
    stage.successor()
    figures = stage.writer.stat()
    failed, turns = (sum(column) for column in zip(*failures, strict=True))
    print(f"{stage.writer.published} revisions, {turns} turns, {refused} refused, {failed} failed")
    print(figures)
    return 1 if failed or turns == 0 or stage.writer.published < 10 else 0


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1])))
