"""Starts a real FreeRADIUS of a test's own, with the users and the manners that it asks for.

1. Its configuration is whole and its own: nothing of Debian's is read but the dictionary.
2. Like Debian's 3.2.1 it answers without Message-Authenticator unless it is told to; here it is
   told to, except where a test wants one that isn't.
"""

from __future__ import annotations

import signal
import socket
import subprocess
from pathlib import Path
from typing import Self

from tests.neighbours.ports import free_port
from tests.neighbours.secrets import note
from tests.neighbours.waiting import wait_until

START_SECONDS_MAX = 20.0
STOP_SECONDS_MAX = 10.0
DICTIONARY = "/usr/share/freeradius"
CHALLENGED = "otp"  # a user who is asked for a second secret, whatever the first is
REFUSAL = "The directory knows better"  # what a wrong password hears
WELCOME = "Good morning"

SIGN = """\
        update reply {
            Message-Authenticator := 0x00
        }
"""
CONFIG = """\
prefix = /usr
logdir = {folder}
run_dir = {folder}
libdir = /usr/lib/freeradius
pidfile = {folder}/pid
max_request_time = 5
cleanup_delay = 0
max_requests = 1024
log {{
    destination = stdout
    auth = yes
}}
security {{
    max_attributes = 200
    reject_delay = 0
    status_server = no
    allow_core_dumps = no
}}
client tests {{
    ipaddr = 127.0.0.1
    secret = {secret}
    require_message_authenticator = yes
}}
thread pool {{
    start_servers = 1
    max_servers = 4
    min_spare_servers = 1
    max_spare_servers = 2
}}
modules {{
    pap {{
    }}
    files {{
        usersfile = {folder}/users
    }}
}}
server default {{
    listen {{
        type = auth
        ipaddr = 127.0.0.1
        port = {port}
    }}
    authorize {{
        files
        if (&User-Name == "{challenged}") {{
            update control {{
                Auth-Type := Accept
                Response-Packet-Type := Access-Challenge
            }}
            update reply {{
                Reply-Message := "Enter the code"
                State := 0x01
            }}
        }}
        pap
    }}
    authenticate {{
        Auth-Type PAP {{
            pap
        }}
    }}
    post-auth {{
{sign}
        Post-Auth-Type REJECT {{
{sign}
            update reply {{
                Reply-Message := "{refusal}"
            }}
        }}
        Post-Auth-Type Challenge {{
{sign}
        }}
    }}
}}
"""


class FreeRadius:
    """One server on a port of 127.0.0.1; `users` are names and passwords."""

    def __init__(
        self,
        folder: Path,
        users: dict[str, str],
        *,
        secret: str = "testing-secret-1",
        signs: bool = True,
        port: int = 0,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.port = port or free_port()
        self.secret = secret
        self.secret_file = folder / "secret"  # as csp reads it
        self.log = folder / "log"
        self.process: subprocess.Popen[bytes] | None = None
        note(secret, *users.values())
        self._write("secret", f"{secret}\n")
        lines = [
            f'{name} Cleartext-Password := "{password}"\n    Reply-Message := "{WELCOME}"\n'
            for name, password in users.items()
        ]
        self._write("users", "".join(lines))
        self._write(
            "radiusd.conf",
            CONFIG.format(
                folder=folder,
                secret=secret,
                port=self.port,
                challenged=CHALLENGED,
                refusal=REFUSAL,
                sign=SIGN if signs else "",
            ),
        )

    @property
    def address(self) -> str:
        """HOST:PORT, as the options name it."""
        return f"127.0.0.1:{self.port}"

    def start(self) -> Self:
        """Starts it and waits until it takes requests."""
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                ["freeradius", "-f", "-d", str(self.folder), "-n", "radiusd", "-D", DICTIONARY],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        wait_until(self._is_ready, START_SECONDS_MAX, "FreeRADIUS takes requests")
        return self

    def _is_ready(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise AssertionError(f"FreeRADIUS ended\n{self.log.read_text()}")
        return "Ready to process requests" in self.log.read_text()

    def silence(self) -> None:
        """It takes what is sent and answers nothing, as a machine that hangs."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        if self.process is not None:
            self.resume()
            self.process.terminate()
            self.process.wait(STOP_SECONDS_MAX)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.touch(mode=0o600)
        path.write_text(text)


class SilentRadius:
    """A port that takes requests, counts them, and never answers."""

    def __init__(self) -> None:
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", self.port))
        self._socket.setblocking(False)

    def taken(self) -> int:
        """How many requests have come since the last look."""
        count = 0
        while True:
            try:
                self._socket.recv(4096)
            except BlockingIOError:
                return count
            count += 1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()
