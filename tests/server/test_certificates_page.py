"""Runs the commands of docs/operating/certificates.md, and looks what they have done."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from csp.tls.settings import settings_of
from tests.neighbours.server import ROOT
from tests.neighbours.waiting import wait_until
from tests.server.test_security_page import shell
from tests.server.tls_site import Site

pytestmark = pytest.mark.needs("openssl")

PAGE = (ROOT / "docs" / "operating" / "certificates.md").read_text()
BLOCKS = re.findall(r"```sh\n(.*?)```", PAGE, re.S)


def test_the_commands_of_the_page(tmp_path: Path) -> None:
    state, only = BLOCKS
    site = Site(tmp_path, {"secured": "tls=1"}, workers=1)
    site.put("proxy1", site.issue("first"))
    site.put_file("issuer.pem", site.authority.root)
    with site:
        assert not site.is_let_in("secured"), "it has no certificate yet"
        state = state.replace("/etc/csp", str(site.files))
        shell(site.master, state.replace("=proxy1", f"={site.master.app}"))
        wait_until(lambda: site.number("secured") > 0, 20, "the certificate")
        assert site.subject("secured") == "first"
        person = site.person("ann")
        shell(site.master, only.replace("CfgPerson:101", f"CfgPerson:{person}"))
        with site.master.client() as one:
            found = one.execute_command("GET", f"CfgPerson:{person}")
        assert '"authentication":{"certificate-only":"true"}' in found


def test_the_names_of_the_page_are_those_that_are_read() -> None:
    for name in ("certificate", "certificate-key", "trusted-ca", "tls-crl", "sec-protocol"):
        assert f"`{name}`" in PAGE
    named = re.findall(r"`(SSLv23|TLSv\d+)`", PAGE)
    assert {"SSLv23", "TLSv12", "TLSv13"} == set(named)
    for one in named:
        settings_of({"certificate": "/a.pem", "sec-protocol": one})
