"""Runs the commands of docs/operating/directories.md against real directories."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.neighbours.server import PASSWORD, ROOT, Master
from tests.neighbours.slapd import SEARCHER_PASSWORD, Slapd
from tests.server.directory_helpers import person, sign_in, wait_sign_in

PAGE = (ROOT / "docs" / "operating" / "directories.md").read_text()
COMMAND_SECONDS_MAX = 60


def commands(chapter: str) -> str:
    """The blocks of shell commands of a chapter."""
    (text,) = re.findall(rf"^## {chapter}\n(.*?)(?=^## |\Z)", PAGE, re.S | re.M)
    blocks = re.findall(r"```sh\n(.*?)```", text, re.S)
    assert blocks, chapter
    return "\n".join(blocks)


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
