"""Replaces a server's certificate again and again under load: nobody may notice.

1. Connections that are there read on, and others come all the while, each trusting the authority
   alone; a request that fails, and a handshake, is counted.
2. Each reload is waited for: the next one begins when a new connection was shown the new one.
"""

from __future__ import annotations

import os
import shutil
import signal
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psutil

from bench.load import CORES, Work, WrongReplies, run
from bench.native import program
from bench.report import Row
from bench.tls_stage import TlsStage
from bench.visits import Visits, read_visits
from tests.neighbours.waiting import wait_until

SHOWN_SECONDS_MAX = 30.0
STOP_SECONDS_MAX = 60
RESTS_SECONDS = 0.2  # between two reloads
REQUESTS = 200_000  # of one run of the load


def reloads(on: TlsStage, seconds: float, notes: dict[str, Any]) -> list[Row]:
    """Rows of what failed while certificates were replaced for so long."""
    held = on.on.held
    work = Work("reload", 64, 1, held.class_name, held.first, held.count, REQUESTS)
    until = time.monotonic() + seconds
    failed_loads: list[str] = []
    loads = 0
    reloaded: list[str] = []
    told: list[Visits] = []
    with _visitors(on, told), _reloader(on, reloaded):
        while time.monotonic() < until or not reloaded:
            loads += 1
            try:
                run(work, on.whole, seed=loads)
            except WrongReplies as error:
                failed_loads.append(str(error))
    (seen,) = told
    notes["reload"] = {
        "reloads": len(reloaded),
        "requests": loads * REQUESTS,
        "handshakes": seen.done,
        "certificates": seen.certificates,
        "failures": failed_loads,
    }
    return [
        Row("runs of reads that failed beside reloads", "none", [len(failed_loads)], 0.0),
        Row("handshakes that failed beside reloads", "none", [seen.failed], 0.0),
        Row("reloads that were seen", "beside each other", [len(reloaded)], None),
    ]


@contextmanager
def _visitors(on: TlsStage, told: list[Visits]) -> Iterator[None]:
    """Connections that come one after the other until the block ends."""
    trusting = os.environ | {"WIRE_CA": str(on.authority.root)}
    with subprocess.Popen(
        [program("handshakes"), on.whole.address, "0", "full"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=trusting,
        text=True,
    ) as process:
        psutil.Process(process.pid).cpu_affinity(CORES[-1:])
        try:
            yield
        finally:
            out, _ = process.communicate(timeout=STOP_SECONDS_MAX)
    seen = read_visits(out)
    if seen is None:
        raise WrongReplies("the visitors ended before they were told to")
    told.append(seen)


@contextmanager
def _reloader(on: TlsStage, reloaded: list[str]) -> Iterator[None]:
    """Another certificate again and again until the block ends; what failed is raised."""
    ending = threading.Event()
    failures: list[BaseException] = []

    def replace() -> None:
        try:
            while not ending.wait(RESTS_SECONDS):
                reloaded.append(_reload(on))
        except BaseException as error:  # noqa: BLE001 - raised by the thread that waits for this one
            failures.append(error)

    thread = threading.Thread(target=replace)
    thread.start()
    try:
        yield
    finally:
        ending.set()
        thread.join(SHOWN_SECONDS_MAX + STOP_SECONDS_MAX)
    if failures:
        raise failures[0]


def _reload(on: TlsStage) -> str:
    """One more certificate; returns when it is shown."""
    new = on.authority.issue()
    for made, used in (
        (new.key, on.certificate.key),
        (new.certificate, on.certificate.certificate),
    ):
        beside = used.with_suffix(".next")
        shutil.copy(made, beside)
        os.replace(beside, used)
    process = on.on.proxy.process
    assert process is not None
    process.send_signal(signal.SIGHUP)
    wanted = ssl.PEM_cert_to_DER_cert(new.certificate.read_text())
    wait_until(lambda: shown(on.port) == wanted, SHOWN_SECONDS_MAX, "the new certificate is shown")
    return new.certificate.name


def shown(port: int) -> bytes:
    """The certificate that a new connection is shown."""
    return ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate(("127.0.0.1", port)))
