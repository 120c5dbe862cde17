"""From where links go out, as a command line and an Application's connection say (F108)."""

from __future__ import annotations

import socket

import pytest

from csp.process.source import ANYWHERE, Source, SourceRefused, parse_source, source_in
from tests.neighbours.ports import free_port


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("", ANYWHERE),
        ("10.0.0.5", Source("10.0.0.5")),
        ("10.0.0.5:5000", Source("10.0.0.5", 5000)),
        (":5000", Source("", 5000)),
        (":5000:5010", Source("", 5000, 5010)),
        ("[fd00::5]:5000:5010", Source("fd00::5", 5000, 5010)),
        ("fd00::5", Source("fd00::5")),
    ],
)
def test_a_command_line_says_address_and_ports(text: str, source: Source) -> None:
    assert parse_source(text) == source


@pytest.mark.parametrize("text", ["host:1", "10.0.0.5:x", ":0", ":70000", ":65535", "10.0.0.500"])
def test_what_is_no_address_or_port_is_refused(text: str) -> None:
    with pytest.raises(SourceRefused, match=r"is no (IP address|port from 1 to 65534)"):
        parse_source(text)


def test_the_connection_of_an_application_says_it() -> None:
    plain = {"appServerDBID": 99, "transportParams": "tls=0"}
    stated = {"appServerDBID": 100, "transportParams": "tls=0;address=10.0.0.5;backup-port=5010"}
    assert source_in({}) is None
    assert source_in({"appServerDBIDs": [plain]}) is None
    assert source_in({"appServerDBIDs": [plain, stated]}) == Source("10.0.0.5", 0, 5010)
    with pytest.raises(SourceRefused, match="port=many"):
        source_in({"appServerDBIDs": [{"transportParams": "port=many"}]})


def test_a_socket_is_bound_to_the_port_of_its_link() -> None:
    first = free_port()
    source = Source("127.0.0.5", first, first + 50)
    for to_backup, number, port in (
        (False, 0, first),
        (False, 1, first + 1),
        (True, 1, first + 51),
    ):
        with socket.socket() as made:
            source.bind(made, to_backup=to_backup, number=number)
            assert made.getsockname() == ("127.0.0.5", port)


def test_an_address_alone_leaves_the_port_open() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as made:
        Source("127.0.0.5").bind(made, to_backup=False, number=3)
        made.connect(server.getsockname())
        address, port = made.getsockname()
        assert address == "127.0.0.5"
        assert port > 0


def test_a_port_is_free_again_as_soon_as_its_link_has_ended() -> None:
    """Whoever ends it: TCP would keep the pair of addresses for a minute."""
    source = Source("127.0.0.5", free_port())
    with socket.create_server(("127.0.0.1", 0)) as server:
        for _ in range(3):
            with socket.socket() as made:
                source.bind(made, to_backup=False, number=0)
                made.connect(server.getsockname())
                accepted, (address, port) = server.accept()
                assert (address, port) == ("127.0.0.5", source.port)
            accepted.close()


def test_an_address_that_is_not_ours_is_said_in_words() -> None:
    with (
        socket.socket() as made,
        pytest.raises(OSError, match=r"can't come from 192\.0\.2\.1"),
    ):
        Source("192.0.2.1", 5000).bind(made, to_backup=False, number=0)
