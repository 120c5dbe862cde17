"""Runs the commands of docs/operating/ports.md, and looks what is open then."""

from __future__ import annotations

import json
import re
from pathlib import Path

from csp.process.port_infos import FLAGS, LISTS, TEXTS, read_ports
from tests.neighbours.server import ROOT, Master
from tests.neighbours.waiting import wait_until
from tests.server.test_ports import held_port, is_open, restart, state_of
from tests.server.test_security_page import shell

PAGE = (ROOT / "docs" / "operating" / "ports.md").read_text()
BLOCKS = re.findall(r"```sh\n(.*?)```", PAGE, re.S)


def test_every_parameter_is_on_the_page() -> None:
    for name in (*FLAGS, *TEXTS, *LISTS):
        if name != "tls-target-name-check":  # of links, not of ports
            assert re.search(rf"`{name}\b", PAGE), name


def test_the_commands_of_the_page(tmp_path: Path) -> None:
    numbers = {"7001": str(held_port()), "7002": str(held_port())}
    blocks = [re.sub(r"700[12]", lambda found: numbers[found[0]], one) for one in BLOCKS]
    add, change, look, placeholder = blocks
    ui, management = (int(one) for one in numbers.values())
    with Master(tmp_path) as master:
        shell(master, add)
        restart(master)
        wait_until(lambda: is_open(management), 20, "the ports are open")
        assert is_open(ui)
        assert f"management 127.0.0.1:{management} management unsecured" in shell(master, look)

        shell(master, change)
        restart(master)
        wait_until(lambda: is_open(ui), 20, "the port is open")
        wait_until(lambda: "management" not in state_of(master)["ports"], 10, "it is known")
        assert not is_open(management)
        assert not master.alarms()
        with master.client() as client:
            found = client.execute_command("CFG.FIND", "CfgApplication", "name", "confserv")
        port = read_ports(json.loads(found)).ports[1]
        assert [str(one) for one in port.listed] == ["127.0.0.0/8", "10.0.0.0/8"]
        shown = re.sub(r"\s", "", shell(master, placeholder))
        assert '"LCAPort":"0"' in shown
