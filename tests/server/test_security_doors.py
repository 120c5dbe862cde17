"""Carries out the page's steps from a plain port to doors of each kind, and goes through them.

Paths and ports of the page are replaced by the test's own; a start comes where the page says so.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import redis

from tests.neighbours.certificates import Authority
from tests.neighbours.ports import free_port
from tests.neighbours.server import PASSWORD, Master
from tests.neighbours.slapd import SEARCHER_PASSWORD, Slapd
from tests.neighbours.waiting import wait_until
from tests.server.test_security_page import NEW_PASSWORD, procedures, shell

PORTS = ("2443", "2444", "2445", "2446")
DIRECTORY = "ldaps://directory.example:636"
FAR_PASSWORD = "kept-by-the-d1rectory"

pytestmark = [pytest.mark.needs("openssl"), pytest.mark.needs("slapd")]


@dataclass
class Site:
    """A master on which the page is carried out, and what lies in its folder /etc/csp."""

    master: Master
    folder: Path
    people: Authority
    directory: Slapd
    ports: dict[str, int] = field(default_factory=dict)

    def run(self, heading: str, number: int = 0) -> str:
        """One block of the page."""
        block = procedures()[heading][number]
        block = block.replace("/etc/csp", str(self.folder)).replace(
            '"2020"', f'"{self.master.port}"'
        )
        block = block.replace(DIRECTORY, f"ldaps://127.0.0.1:{self.directory.secure_port}")
        for one in PORTS:
            block = block.replace(one, str(self.ports.setdefault(one, free_port())))
        return shell(self.master, block)

    def restart(self) -> None:
        self.master.stop()
        self.master.start()

    def client(self, port: str, user: str = "default", password: str = PASSWORD, **more: object):  # type: ignore[no-untyped-def]
        trusted = str(self.folder / "authority.pem")
        options = {"ssl": True, "ssl_ca_certs": trusted, "decode_responses": True, **more}
        where = {"host": "localhost", "port": self.ports[port]}
        if user:
            options |= {"username": user, "password": password}
        return redis.Redis(**where, **options)  # type: ignore[arg-type]

    def signs_in(self, user: str, password: str) -> bool:
        """Whether this password does by the encrypted port."""
        try:
            with self.client("2443", user, password) as client:
                return bool(client.ping())
        except redis.AuthenticationError:
            return False


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The rights' people, and the doors' steps up to the first start."""
    folder = tmp_path_factory.mktemp("doors")
    authority, people = Authority(folder / "authority"), Authority(folder / "people")
    etc = folder / "etc"
    etc.mkdir()
    one = authority.issue(until_days=200)
    (etc / "server.pem").write_bytes(one.certificate.read_bytes())
    (etc / "server.key").write_bytes(one.key.read_bytes())
    (etc / "server.key").chmod(0o600)
    (etc / "authority.pem").write_bytes(authority.root.read_bytes())
    (etc / "people.pem").write_bytes(people.root.read_bytes())
    (etc / "searcher.password").write_text(SEARCHER_PASSWORD + "\n")
    with (
        Slapd(folder / "slapd", {"sue": FAR_PASSWORD}, authority=authority) as directory,
        Master(folder) as master,
    ):
        found = Site(master, etc, people, directory)
        for number in range(2):
            shell(master, procedures()["People and groups"][number])
        found.run("An encrypted port")
        found.run("Ports for people, and for administrators")
        found.run("People who come with a certificate")
        found.restart()
        yield found


def test_who_has_the_authority_comes_by_the_encrypted_port(site: Site) -> None:
    assert "confserv" in site.run("An encrypted port", 1)
    with pytest.raises(redis.ConnectionError), site.client("2443", ssl_ca_certs=None) as client:
        client.ping()


def test_no_server_registers_by_the_port_of_people(site: Site) -> None:
    with site.client("2444") as client:
        with pytest.raises(redis.ResponseError, match="user"):
            client.execute_command("CFG.REGISTER", "confserv")
        assert client.execute_command("CFG.REGISTER", "default")


def test_administrators_alone_sign_in_by_the_port_of_management(site: Site) -> None:
    with site.client("2445") as client:
        assert client.ping()
    with pytest.raises(redis.RedisError), site.client("2445", "ann", NEW_PASSWORD) as client:
        client.ping()


def test_a_certificate_signs_in_whom_it_names_and_his_password_does_no_more(site: Site) -> None:
    one = site.people.issue("adam")
    files = {"ssl_certfile": str(one.certificate), "ssl_keyfile": str(one.key)}
    with site.client("2446", user="", **files) as client:
        assert client.execute_command("ACL", "WHOAMI") == "adam"
    with pytest.raises(redis.RedisError), site.client("2446", user="") as client:
        client.ping()
    assert site.signs_in("adam", NEW_PASSWORD)
    site.run("People who come with a certificate", 1)

    wait_until(lambda: not site.signs_in("adam", NEW_PASSWORD), 10, "his password is refused")
    with site.client("2446", user="", **files) as client:
        assert client.execute_command("ACL", "WHOAMI") == "adam"


def test_a_directory_decides_about_its_people_alone(site: Site) -> None:
    site.run("People of a directory")

    wait_until(lambda: site.signs_in("sue", FAR_PASSWORD), 20, "the directory's password does")
    assert not site.signs_in("sue", NEW_PASSWORD)
    assert site.signs_in("ann", NEW_PASSWORD)
    assert site.signs_in("default", PASSWORD)
    with site.master.client() as client:
        text = client.execute_command("CFG.READ", "CfgApplication", "FILTER", "name", "confserv")[
            2
        ][0]
    kept = json.loads(text)["options"]["gauth_ldap"]["password"]
    assert kept.startswith("sealed:1:")


def test_a_renewed_certificate_is_shown_without_a_start(site: Site) -> None:
    authority = Authority(site.folder / "renewed")
    one = authority.issue(until_days=200)
    for name, made in (("server.key", one.key), ("server.pem", one.certificate)):
        (site.folder / name).write_bytes(made.read_bytes())
    assert site.master.process is not None
    site.master.process.send_signal(1)  # SIGHUP
    where = ("127.0.0.1", site.ports["2443"])
    wanted = one.certificate.read_text().strip()
    wait_until(lambda: ssl.get_server_certificate(where).strip() == wanted, 20, "the new one")


def test_limits_of_neighbours_are_taken(site: Site) -> None:
    site.run("Neighbours")
    with site.master.client() as client:
        wait_until(
            lambda: (
                client.config_get("max-connections-per-address").get("max-connections-per-address")
                == "500"
            ),
            10,
            "the limit holds",
        )


def test_the_narrowed_default_port_still_takes_this_host(site: Site) -> None:
    site.run("The plain port, closed")
    site.restart()
    with site.master.client() as client:
        assert client.ping()
        ports = client.execute_command("CFG.STATUS")
    assert ports
