"""Runs the campaign: servers, clients, one blow after the other, and what must hold after each."""

from __future__ import annotations

import shutil
import signal
import time
from collections import Counter
from pathlib import Path
from statistics import median

import click
import psutil
import redis

from csp._fastpath import FAILPOINTS
from tests.campaign.changer import Changer
from tests.campaign.history import History
from tests.campaign.pusher import Pusher
from tests.campaign.reader import Reader
from tests.campaign.schedule import Blow, schedule
from tests.neighbours.server import Master, Proxy, Server
from tests.neighbours.waiting import wait_until
from tests.server.feed_helpers import set_writable

RESERVE = "64MB"  # so small that the change log is trimmed within the campaign
RECOVER_SECONDS_MAX = 10.0
STOPPED_SECONDS = 0.4
FAILPOINT_SECONDS_MAX = 4.0
DOUBLED_SECONDS_MAX = 30.0  # for as many names again as there are
READERS = {"proxy": 4, "master": 2}
LOAD_FAILPOINTS = tuple(name for name in FAILPOINTS if name.startswith("load-"))
# Of the child that writes a proxy's snapshot as it stops, and of the writer that loads one.
WRITING_FAILPOINTS = ("snapshot.block", "snapshot.end", "snapshot.synced", "snapshot.renamed")
LOADING_FAILPOINTS = ("snapshot.read", "snapshot.loaded")
# Passed by every update; csp/master names more, for creates and deletes.
MASTER_FAILPOINTS = (
    "master.begin",
    "master.after_head",
    "master.after_updated",
    "master.after_history",
    "master.before_commit",
    "master.after_commit",
    "master.after_apply",
)


class Campaign:
    """One campaign in one folder."""

    def __init__(self, folder: Path, *, seed: int, changes_a_second: int, objects: int) -> None:
        self.folder, self.seed = folder, seed
        self.changes_a_second, self.objects = changes_a_second, objects
        self.done: Counter[str] = Counter()
        self.recover_ms: list[float] = []
        self.history = History([])
        self.servers: dict[str, Server] = {}
        self.readers: dict[str, list[Reader]] = {}
        self.struck: Counter[str] = Counter()  # failpoints
        self.missed: Counter[str] = Counter()

    def run(self, kills: int) -> list[str]:
        """The whole campaign; returns what went wrong."""
        master = Master(self.folder, workers=2, extra=("--reserve", RESERVE))
        proxy = Proxy(self.folder, master, workers=2, extra=("--create-app", "--reserve", RESERVE))
        with master, proxy:
            self.servers = {"master": master, "proxy": proxy}
            self.instances = {
                server: next(server.runtime.glob("*/writer.sock")).parent.name
                for server in self.servers.values()
            }
            self.history.pairs = _make_pairs(master, self.objects)
            wait_until(lambda: _revision(proxy) == _revision(master), 20, "the proxy has all")
            self._strike_loads()
            set_writable(master, proxy)
            servers = (master, proxy)
            self.changer = Changer(servers, self.history, self.seed, self.changes_a_second)
            self.pusher = Pusher(master, self.history)
            self.changer.start()
            begin = time.monotonic()
            try:
                self._strike_snapshots()
                generation = _status(proxy)["generation"]
                self._start_readers()
                self._strike_all(kills)
            finally:
                self.changer.stop()
                self.seconds = time.monotonic() - begin
                for reader in self._all_readers():
                    reader.stop()
            self._final_checks(generation)
        return self.history.faults

    def summary(self) -> list[str]:
        """What was done and seen, in lines for people."""
        committed, rejected = self.history.counts()
        recover = sorted(self.recover_ms) or [0.0]
        return [
            f"{sum(self.done.values())} blows in {self.seconds:.0f} s: "
            + ", ".join(f"{count} {what}" for what, count in sorted(self.done.items())),
            f"{len(self.struck)} failpoints struck: {_listed(self.struck)}",
            f"armed but not passed in {FAILPOINT_SECONDS_MAX:g} s: {_listed(self.missed)}",
            f"{committed} changes committed, {rejected} rejected, "
            f"{self.changer.through[self.servers['proxy']]} through the proxy, "
            f"{self.changer.unknown} outcomes asked for; {self.history.reads} reads checked",
            f"complete again after a blow: median {median(recover):.0f} ms, "
            f"longest {recover[-1]:.0f} ms",
            f"faults: {len(self.history.faults)}",
        ]

    def remove_folder(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def _start_readers(self) -> None:
        for name, server in self.servers.items():
            self.readers[name] = [
                Reader(server, self.history, self.seed + number, f"reader {number} of the {name}")
                for number in range(READERS[name])
            ]
        for reader in self._all_readers():
            reader.start()
        wait_until(lambda: all(r.worker >= 0 for r in self._all_readers()), 20, "readers connect")

    def _all_readers(self) -> list[Reader]:
        return [reader for readers in self.readers.values() for reader in readers]

    def _strike_loads(self) -> None:
        """Writers die and stop while they load; nobody is connected yet."""
        for server in self.servers.values():
            for name in LOAD_FAILPOINTS:
                for action in ("kill", "stop"):
                    server.stop()
                    spec = self._arm_next(server, name, action)
                    server.start(ready=False)
                    if action == "stop":
                        writer = wait_until(lambda s=server: s.children().get("writer"), 10)
                        wait_until(lambda w=writer: _has_stopped(w), 10, f"{name} is passed")
                        self._pause(writer)
                    server.wait_ready()
                    if spec.exists():
                        self.history.fault(f"{name} was never armed")
                    self.done[f"{action} loading writer"] += 1
        revisions = [_revision(server) for server in self.servers.values()]
        if len(set(revisions)) > 1:
            self.history.fault(f"after loads that were interrupted: revisions {revisions}")

    def _strike_snapshots(self) -> None:
        """Snapshots die as a stop writes them, writers as they load one; readers come later."""
        proxy = self.servers["proxy"]
        for name in WRITING_FAILPOINTS:
            proxy.stop()
            proxy.start(CSP_FAILPOINT=f"{name}=kill")
            before = _snapshots_died(proxy)
            proxy.stop()
            if _snapshots_died(proxy) == before:
                self.history.fault(f"{name} was armed and never passed")
            self._start_and_follow(proxy)
            self.done["kill snapshot"] += 1
        for name in LOADING_FAILPOINTS:
            proxy.stop()
            spec = self._arm_next(proxy, name, "kill")
            self._start_and_follow(proxy)
            if spec.exists():
                self.history.fault(f"{name} was never armed")
            self.done["kill loading writer"] += 1

    def _start_and_follow(self, proxy: Server) -> None:
        proxy.start()
        target = self.changer.last_revision
        wait_until(lambda: _revision(proxy) >= target, RECOVER_SECONDS_MAX, "the proxy follows")

    def _arm_next(self, server: Server, name: str, action: str) -> Path:
        """The first writer of the next start finds the failpoint armed."""
        folder = server.runtime / self.instances[server]
        folder.mkdir(mode=0o700)
        spec = folder / "failpoint"
        spec.write_text(f"{name}={action}")
        return spec

    def _strike_all(self, kills: int) -> None:
        swept = [name for name in FAILPOINTS if name not in LOAD_FAILPOINTS]
        points = {"proxy": swept, "master": [*swept, *MASTER_FAILPOINTS]}
        roles = {name: ["auth", "worker 0", "worker 1"] for name in self.servers}
        roles["master"].append("reading")
        blows = schedule(kills, self.seed, points, roles)
        for number, blow in enumerate(blows, 1):
            if len(self.history.faults) > 10:
                return
            before = {reader: (reader.lost, reader.worker) for reader in self._all_readers()}
            try:
                self._strike(blow)
                self._wait_noticed(blow, before)
                self._wait_recovered(blow)
            except AssertionError as error:
                self.history.fault(f"after blow {number} ({blow}): {error}")
                return
            self._check_connections(blow, before)
            self.done[f"{blow.action} {blow.role.split()[0]}"] += 1
            if number % 20 == 0:
                click.echo(
                    f"{number} of {kills} blows, {len(self.history.faults)} faults", err=True
                )

        if not blows[-1].failpoint:  # all of them had their turn
            self._check_coverage({blow.last_point for blow in blows} - {""})

    def _check_coverage(self, armed: set[str]) -> None:
        """A failpoint that no writer passes, however often it is armed, tests nothing."""
        for name in sorted(armed - self.struck.keys()):
            self.history.fault(f"{name} was armed {self.missed[name]} times and never passed")

    def _strike(self, blow: Blow) -> None:
        server = self.servers[blow.server]
        victim = server.child(blow.role)
        if blow.failpoint:
            self._strike_at_failpoint(blow, server, victim)
        elif blow.action == "kill":
            victim.kill()
        else:
            self._pause(victim)

    def _strike_at_failpoint(self, blow: Blow, server: Server, writer: psutil.Process) -> None:
        """The next writer finds the failpoint armed: it takes the file away as it starts."""
        spec = next(server.runtime.glob("*/writer.sock")).parent / "failpoint"
        action = "kill" if blow.then else blow.action
        lines = [f"{blow.failpoint}={action}@{blow.hit}"]
        if blow.then:
            lines.append(f"{blow.then}={blow.action}")
        spec.write_text("\n".join(lines))
        started = _writers_started(server)
        writer.kill()
        with self.pusher.towards(blow.last_point):
            self._follow(blow, server, len(lines), started)
        spec.unlink(missing_ok=True)

    def _follow(self, blow: Blow, server: Server, deaths: int, before: int) -> None:
        """Watches the successors strike their failpoints; lets one go on that stopped there."""
        is_stop = blow.action == "stop"
        doubles = blow.last_point == "directory-doubled"

        def have_struck() -> bool:
            # Told by the log: a writer that dies as it recovers is gone before anybody looks.
            successors = _writers_started(server) - before
            if is_stop:
                writer = server.children().get("writer")
                return successors == deaths and writer is not None and _has_stopped(writer)
            return successors > deaths

        within = DOUBLED_SECONDS_MAX if doubles else FAILPOINT_SECONDS_MAX
        try:
            wait_until(have_struck, within, "the failpoint")
        except AssertionError:
            self.missed[blow.last_point] += 1
            return
        self.struck[blow.last_point] += 1
        if is_stop:
            self._pause(server.child("writer"))

    def _pause(self, victim: psutil.Process) -> None:
        try:
            victim.send_signal(signal.SIGSTOP)
            time.sleep(STOPPED_SECONDS)
            victim.send_signal(signal.SIGCONT)
        except psutil.NoSuchProcess:
            return  # its supervisor was quicker

    def _wait_noticed(self, blow: Blow, before: dict[Reader, tuple[int, int]]) -> None:
        """Who was on a killed worker knows it, so that no later blow is blamed for the loss."""
        if blow.action != "kill" or not blow.role.startswith("worker"):
            return
        for reader in self.readers[blow.server]:
            lost, worker = before[reader]
            if blow.role == f"worker {worker}":
                wait_until(
                    lambda reader=reader, lost=lost: reader.lost > lost or not reader.is_alive(),
                    RECOVER_SECONDS_MAX,
                    f"{reader.name} notices that its worker died",
                )

    def _wait_recovered(self, blow: Blow) -> None:
        """Everything the master has is served by both, and every reader gets replies again."""
        begin = time.monotonic()
        target = self.changer.last_revision + 1

        def is_complete() -> bool:
            return all(_revision(server) >= target for server in self.servers.values())

        wait_until(is_complete, RECOVER_SECONDS_MAX, f"revision {target} after {blow}")
        self.recover_ms.append((time.monotonic() - begin) * 1000)
        for reader in self._all_readers():
            wait_until(
                lambda reader=reader: reader.last_reply > begin or not reader.is_alive(),
                RECOVER_SECONDS_MAX,
                f"{reader.name} gets replies",
            )

    def _check_connections(self, blow: Blow, before: dict[Reader, tuple[int, int]]) -> None:
        """Only connections of a killed worker may have been lost."""
        for name, readers in self.readers.items():
            for reader in readers:
                lost, worker = before[reader]
                is_victim = name == blow.server and blow.role == f"worker {worker}"
                if reader.lost > lost and not is_victim:
                    self.history.fault(f"{reader.name} on worker {worker} lost it: {blow}")

    def _final_checks(self, generation: object) -> None:
        proxy, master = self.servers["proxy"], self.servers["master"]
        wait_until(lambda: _revision(proxy) == _revision(master), 20, "the proxy has all")
        if _status(proxy)["generation"] != generation:
            self.history.fault("the proxy loaded anew: its generation changed")
        for name, server in self.servers.items():
            verdict = server.cli("verify")
            if verdict.returncode:
                self.history.fault(f"verify of the {name}: {verdict.stdout}{verdict.stderr}")


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count}x" for name, count in sorted(counts.items())) or "none"


def _make_pairs(master: Server, objects: int) -> list[tuple[int, int]]:
    with master.client() as client:
        dbids = []
        for number in range(objects - objects % 2):
            body = (
                f'{{"tenantDBID":1,"userName":"campaign{number}","employeeID":"c{number}",'
                f'"firstName":"Campaign","lastName":"{number}","isAgent":false}}'
            )
            dbids.append(int(client.execute_command("CFG.CREATE", "CfgPerson", body)[1]))
    return list(zip(dbids[::2], dbids[1::2], strict=True))


def _status(server: Server) -> dict[str, object]:
    with server.client(protocol=3) as client:
        reply = client.execute_command("CFG.STATUS")
    assert isinstance(reply, dict)
    return reply


def _revision(server: Server) -> int:
    try:
        return int(str(_status(server)["revision"]))
    except (redis.ConnectionError, redis.TimeoutError):
        return -1


def _writers_started(server: Server) -> int:
    return server.log.read_text(errors="replace").count("writer started, pid")


def _snapshots_died(server: Server) -> int:
    return server.log.read_text(errors="replace").count("no snapshot this time")


def _has_stopped(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_STOPPED
    except psutil.NoSuchProcess:
        return False
