"""A proxy's TLS ports: they serve from what is kept, before and without a word of its master."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.neighbours.ports import free_port
from tests.neighbours.server import PASSWORD, Master, Proxy
from tests.neighbours.waiting import wait_until
from tests.server.feed_helpers import wait_level
from tests.server.tls_site import Site
from tests.server.tls_stage import SecureRaw, trusting

pytestmark = pytest.mark.needs("openssl")


def test_a_proxy_whose_master_is_away_has_its_certificates_after_a_restart(tmp_path: Path) -> None:
    """They are named by its host: of that it keeps what it was told too."""
    site = Site(tmp_path, {}, workers=1)
    site.put("host", site.issue("host"))
    port = free_port()
    with Master(tmp_path) as master, Proxy(tmp_path, master) as proxy:
        site.master = master
        stated = {
            "certificate": f"{site.files}/host.pem",
            "certificate-key": f"{site.files}/host.key",
        }
        host = site.create("CfgHost", name="here", userProperties={"security": stated})
        with master.client() as one:
            found = one.execute_command("CFG.FIND", "CfgApplication", "name", proxy.app)
        row = {"id": "secured", "port": str(port), "transportParams": "tls=1"}
        delta = {"added": {"portInfos": [row]}, "changed": {"serverInfo": {"hostDBID": host}}}
        site.update("CfgApplication", json.loads(found)["DBID"], **delta)
        wait_level(master, proxy)
        proxy.stop()
        proxy.start()
        context = trusting(site.authority.root)

        def says() -> str:
            try:
                client = SecureRaw(port, context)
            except OSError:
                return ""
            assert client.call("AUTH", "default", PASSWORD) == "OK"
            return str(client.call("GET", "CfgTenant:1"))

        assert '"name":"Environment"' in wait_until(says, 20, "the port")
        master.stop()
        proxy.stop()
        proxy.start()
        assert '"name":"Environment"' in wait_until(says, 20, "the port")
        master.start()
