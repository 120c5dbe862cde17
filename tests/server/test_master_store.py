"""The master's database under a real store: loads, takeovers after a kill, a database put back."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from csp.errors import UnknownOutcome
from csp.master.origin import DatabaseOrigin
from csp.master.records import DatabaseRecords
from csp.master.seed import SeedPlan
from csp.model.image import json_of
from csp.model.principal import Principal, message_of
from csp.model.requests import WriteRequest, parse_request
from csp.store.host import StoreHost
from tests.neighbours import instances
from tests.neighbours.databases import Place

CHILD_SECONDS_MAX = 60
RESERVE_BYTES = 64 << 20
CHILD = """
import sys
from csp.observe import failpoint
from tests.server.test_master_store import create, open_host, open_origin
host = open_host(sys.argv[1])
origin = open_origin(sys.argv[2], host)
failpoint.arm({failpoint.VARIABLE: sys.argv[3]})
create(origin, "English")
"""


def open_host(instance: str) -> StoreHost:
    return instances.open_host(instance, reserve_bytes=RESERVE_BYTES, log_bytes=8 << 20)


def open_origin(url: str, host: StoreHost) -> DatabaseOrigin:
    origin = DatabaseOrigin(url, SeedPlan(password="secret"))
    origin.start(host)
    return origin


def requests_of(*names: str) -> list[WriteRequest]:
    """Requests that create a skill each."""
    asks = message_of(Principal(100), is_server=False)
    texts = [b'{"tenantDBID":1,"name":"%b"}' % name.encode() for name in names]
    return [
        parse_request(1, asks, b"", b"one", [[b"CFG.CREATE", b"CfgSkill", text]]) for text in texts
    ]


def create(origin: DatabaseOrigin, name: str) -> int:
    outcome = origin.write(requests_of(name))[0]
    if outcome.error:
        raise outcome.error
    return outcome.revision


@pytest.mark.parametrize(
    "at", ["master.before_commit", "master.after_commit", "master.after_apply"]
)
def test_the_successor_of_a_killed_writer_publishes_what_was_committed(
    instance: str, place: Place, at: str
) -> None:
    host = open_host(instance)
    open_origin(place.url, host).close()
    host.close()
    child = subprocess.run(
        [sys.executable, "-c", CHILD, instance, place.url, f"{at}=kill"],
        timeout=CHILD_SECONDS_MAX,
        check=False,
    )
    assert child.returncode == -signal.SIGKILL
    host = open_host(instance)
    assert host.loaded
    generation = host.control.generation
    origin = open_origin(place.url, host)
    assert host.control.generation == generation  # no reload
    assert host.published == origin.head() == (1 if at == "master.before_commit" else 2)
    assert (host.image(13, 101) is None) == (host.published == 1)
    assert create(origin, "German") == host.published
    origin.close()
    host.close()


def test_a_database_put_back_is_loaded_as_a_new_generation(instance: str, place: Place) -> None:
    host = open_host(instance)
    origin = open_origin(place.url, host)
    create(origin, "English")
    origin.close()
    place.back_up()
    origin = open_origin(place.url, host)
    create(origin, "German")
    origin.close()
    place.put_back()
    generation = host.control.generation
    origin = open_origin(place.url, host)
    assert host.control.generation == generation + 1
    assert host.published == 2
    assert host.image(13, 102) is None
    image = host.image(13, 101)
    assert image is not None
    assert b'"name":"English"' in json_of(image)
    create(origin, "French")
    *_, sums = DatabaseRecords(place.url, lambda: None).sums(13, 1, 2**31 - 1)
    assert sums is not None
    assert sums.classes[13][0] == 2
    origin.close()
    host.close()


def test_what_the_store_could_not_take_is_published_later(instance: str, tmp_path: Path) -> None:
    from csp._fastpath import StoreFull

    host = open_host(instance)
    origin = open_origin(f"sqlite:///{tmp_path}/master.db", host)
    apply, full = host.apply, StoreFull("no room")

    def refuse(*_: object, **__: object) -> None:
        raise full

    host.apply = refuse  # type: ignore[method-assign, assignment]
    with pytest.raises(UnknownOutcome, match="revision 2 is committed"):
        create(origin, "English")
    host.apply = apply  # type: ignore[method-assign]
    assert host.published == 1
    origin.tick(10_000)
    assert host.published == 2
    assert create(origin, "German") == 3
    origin.close()
    host.close()
