"""Runs the commands of docs/operating/directories.md against real directories."""

from __future__ import annotations

import contextlib
import io
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from csp.client import Client, Kerberos
from csp.errors import CspError
from tests.neighbours.freeradius import FreeRadius
from tests.neighbours.kdc import Kdc
from tests.neighbours.server import PASSWORD, ROOT, Master
from tests.neighbours.slapd import SEARCHER_PASSWORD, Slapd
from tests.neighbours.waiting import wait_until
from tests.server.directory_helpers import person, sign_in, wait_sign_in

PAGE = (ROOT / "docs" / "operating" / "directories.md").read_text()
COMMAND_SECONDS_MAX = 60


def blocks(chapter: str, language: str) -> list[str]:
    """The blocks of a chapter that are written in one language."""
    (text,) = re.findall(rf"^## {chapter}\n(.*?)(?=^## |\Z)", PAGE, re.S | re.M)
    found: list[str] = re.findall(rf"```{language}\n(.*?)```", text, re.S)
    assert found, chapter
    return found


def commands(chapter: str) -> str:
    """The shell commands of a chapter."""
    return "\n".join(blocks(chapter, "sh"))


def shell(master: Master, block: str, **variables: str) -> None:
    """Runs it as an administrator's shell would."""
    csp = f'csp() {{ "{sys.executable}" -m csp "$@"; }}\n'
    own = {"PYTHONPATH": str(ROOT), "CSP_SERVER": f"127.0.0.1:{master.port}"}
    done = subprocess.run(
        ["bash", "-ec", csp + block],
        env=os.environ | own | {"CSP_PASSWORD": PASSWORD} | variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS_MAX,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"


@pytest.mark.needs("slapd")
def test_the_chapter_on_ldap_lets_ann_in(tmp_path: Path) -> None:
    file = tmp_path / "searcher"
    file.write_text(f"{SEARCHER_PASSWORD}\n")
    with Slapd(tmp_path / "slapd", {"ann": "ann-word-1"}) as slapd, Master(tmp_path) as master:
        person(master, "ann", password="ann-csp-word-1")
        assert sign_in(master, "ann", "ann-csp-word-1") == "+OK"
        shell(
            master,
            commands("LDAP"),
            LDAP_URL=slapd.url(secure=True),
            SEARCHER_PASSWORD_FILE=str(file),
            CA_FILE=str(slapd.authority.root),
        )
        wait_sign_in(master, "ann", "ann-word-1", "+OK")
        assert sign_in(master, "ann", "ann-csp-word-1").startswith("-WRONGPASS the directory says")
        # What was stated is sealed, wherever it shows.
        shown = master.cli("get", "CfgApplication/name=confserv").stdout
        assert '"password":' in shown
        assert SEARCHER_PASSWORD not in shown + master.log_text(1_000_000)


@pytest.mark.needs("freeradius")
def test_the_chapter_on_radius_lets_ann_in(tmp_path: Path) -> None:
    with (
        FreeRadius(tmp_path / "radius", {"ann": "ann-word-1"}) as radius,
        Master(tmp_path) as master,
    ):
        person(master, "ann", external_id="ann", password="ann-csp-word-1")
        shell(
            master,
            commands("RADIUS"),
            RADIUS_SERVERS=radius.address,
            RADIUS_SECRET_FILE=str(radius.secret_file),
        )
        wait_sign_in(master, "ann", "ann-word-1", "+OK")
        assert sign_in(master, "ann", "ann-csp-word-1").startswith("-WRONGPASS the directory says")


@pytest.mark.needs("krb5kdc", "kadmin.local", "kinit")
def test_the_chapter_on_kerberos_lets_ann_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Kdc(tmp_path / "kdc", {"ann": "ann-realm-word-1"}) as kdc:
        machine = kdc.variables | kdc.replay_cache("here")
        with Master(tmp_path, environment=machine) as master:
            person(master, "ann")
            spn = f"csp/localhost@{kdc.realm}"
            shell(master, commands("Kerberos"), KEYTAB=str(kdc.keytab), SPN=spn)
            for name, value in kdc.variables.items():
                monkeypatch.setenv(name, value)
            monkeypatch.setenv("KRB5CCNAME", f"FILE:{kdc.sign_in('ann')}")

            def is_taken() -> bool:
                with Client(f"localhost:{master.port}", Kerberos("csp@localhost")) as client:
                    with contextlib.suppress(CspError):
                        return bool(client.call("PING"))
                    return False

            wait_until(is_taken, 10, "the options are taken")
            printed = ""
            for block in blocks("Kerberos", "python"):
                names: dict[str, Any] = {}
                out = io.StringIO()
                with contextlib.redirect_stdout(out):
                    exec(block.replace("2020", str(master.port)), names)
                printed += out.getvalue()
                if "connection" in names:
                    connection = names["connection"]
                    connection.send_command("ACL", "WHOAMI")
                    printed += str(connection.read_response())
                    connection.disconnect()
            assert printed.count("ann") == 2, printed
