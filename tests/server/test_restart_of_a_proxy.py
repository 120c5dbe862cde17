"""A proxy is stopped, updated, or its host restarted, while its master is away: it serves again."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from struct import pack_into
from typing import Any

import psutil
import pytest

from csp._fastpath import Control
from csp.model.keys import TABLE_DIGEST
from csp.snapshot.file import NAME, SnapshotFile
from csp.store import segment
from tests.effort import parametrize_few
from tests.neighbours.server import Master, Proxy, Server
from tests.neighbours.waiting import wait_until
from tests.server.test_supervisor_start_stop import segments_of

SEGMENTS = Path("/dev/shm")


def status(server: Server) -> dict[str, Any]:
    with server.client(protocol=3) as client:
        return dict(client.execute_command("CFG.STATUS"))


def make_skill(server: Server, name: str) -> int:
    with server.client() as client:
        body = json.dumps({"tenantDBID": 1, "name": name})
        return int(client.execute_command("CFG.CREATE", "CfgSkill", body)[1])


def name_of(server: Server, dbid: int) -> str:
    with server.client() as client:
        return str(json.loads(client.get(f"CfgSkill:{dbid}"))["name"])


def rename(master: Master, dbid: int, name: str) -> int:
    with master.client() as client:
        delta = json.dumps({"changed": {"name": name}})
        return int(client.execute_command("CFG.UPDATE", "CfgSkill", dbid, delta))


def follows(proxy: Proxy, revision: int) -> None:
    wait_until(lambda: status(proxy)["revision"] >= revision, 20, f"revision {revision}")


def kill_all(proxy: Proxy) -> None:
    """All its processes die at once."""
    assert proxy.process is not None
    for process in [psutil.Process(proxy.process.pid), *proxy.children().values()]:
        process.kill()
    proxy._wait()


def lose_memory(proxy: Proxy) -> None:
    """What a restart of the host takes: the segments and the runtime folder."""
    for name in segments_of(proxy.port):
        (SEGMENTS / name).unlink()
    shutil.rmtree(proxy.runtime)
    proxy.runtime.mkdir()


def snapshot_of(proxy: Proxy) -> Path:
    (found,) = proxy.state.glob(f"*/{NAME}")
    return found


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Master, Proxy, int]]:
    """A master and a proxy that follows it, and a skill that both have."""
    with Master(tmp_path) as master, Proxy(tmp_path, master) as proxy:
        dbid = make_skill(master, "before")
        follows(proxy, rename(master, dbid, "then"))
        yield master, proxy, dbid


def serves_and_resumes(master: Master, proxy: Proxy, dbid: int, revision: int) -> None:
    """Without the master it answers and signs in; then it goes on without a load."""
    shown = status(proxy)
    assert (shown["state"], shown["revision"], shown["link"]) == ("ready", revision, "down")
    assert 0 <= shown["age"] < 60_000
    assert name_of(proxy, dbid) == "then"
    assert "51362" in proxy.log_text() or "51004" in proxy.log_text()
    loads = proxy.log_text(10**7).count("51302")
    master.start()
    follows(proxy, rename(master, dbid, "after"))
    assert name_of(proxy, dbid) == "after"
    assert proxy.log_text(10**7).count("51302") == loads


def test_a_clean_stop_and_start(pair: tuple[Master, Proxy, int]) -> None:
    master, proxy, dbid = pair
    revision = status(proxy)["revision"]
    master.stop()
    assert proxy.stop() == 0
    assert segments_of(proxy.port) == []
    assert snapshot_of(proxy).stat().st_mode & 0o777 == 0o600
    proxy.start()
    serves_and_resumes(master, proxy, dbid, revision)


def test_a_restart_of_the_host(pair: tuple[Master, Proxy, int]) -> None:
    """Nothing is left but the state folder, and not even what an earlier start had learnt."""
    master, proxy, dbid = pair
    revision = status(proxy)["revision"]
    proxy.stop()
    master.stop()
    proxy.start()
    kill_all(proxy)
    lose_memory(proxy)
    next(proxy.state.glob("*/application.json")).unlink()
    proxy.start()
    serves_and_resumes(master, proxy, dbid, revision)


@pytest.mark.long
def test_a_port_that_only_the_application_names(pair: tuple[Master, Proxy, int]) -> None:
    """Without --listen the port comes from the Application, which the snapshot has."""
    master, proxy, dbid = pair
    proxy.stop()

    class FromApplication(Proxy):
        def arguments(self) -> list[str]:
            found = super().arguments()
            place = found.index("--listen")
            return found[:place] + found[place + 2 :]

    second = FromApplication(proxy.folder, master, extra=())
    second.port = proxy.port
    with second.start():
        second.stop()
        master.stop()
        next(second.state.glob("*/application.json")).unlink()
        with second.start():
            assert name_of(second, dbid) == "then"


@pytest.mark.long
def test_snapshots_are_written_beside_the_service(pair: tuple[Master, Proxy, int]) -> None:
    master, proxy, dbid = pair
    with master.client() as client:
        found = json.loads(client.execute_command("CFG.FIND", "CfgApplication", "name", "proxy1"))
        delta = json.dumps({"options": {"changed": {"csp": {"snapshot-interval": "5"}}}})
        client.execute_command("CFG.UPDATE", "CfgApplication", found["DBID"], delta)
    proxy.stop()
    proxy.start()
    revision = rename(master, dbid, "then")
    wait_until(lambda: revision_in(proxy) >= revision, 20, "a snapshot of the change")
    proxy.child("writer")
    kill_all(proxy)
    master.stop()
    lose_memory(proxy)
    proxy.start()
    serves_and_resumes(master, proxy, dbid, revision)


def revision_in(proxy: Proxy) -> int:
    with SnapshotFile(snapshot_of(proxy)) as file:
        return file.info.end.revision


# ---- other releases


def control_of(proxy: Proxy) -> Path:
    (found,) = SEGMENTS.glob(f"csp-*-{proxy.port}-*-control")
    return found


def test_segments_of_another_layout_give_way_to_the_snapshot(
    pair: tuple[Master, Proxy, int],
) -> None:
    master, proxy, dbid = pair
    revision = status(proxy)["revision"]
    proxy.stop()
    proxy.start()
    master.stop()
    kill_all(proxy)
    os.truncate(control_of(proxy), Control.SIZE + 4096)
    proxy.start()
    assert "set aside" in proxy.log_text()
    serves_and_resumes(master, proxy, dbid, revision)
    wait_until(lambda: not list(SEGMENTS.glob(f"csp-*-{proxy.port}-*.aside")), 10, "they are gone")


@pytest.mark.long
def test_segments_of_another_layout_stay_while_nothing_replaces_them(
    pair: tuple[Master, Proxy, int],
) -> None:
    """An update that can't load yet is taken back: the release before starts from its segments."""
    master, proxy, dbid = pair
    revision = status(proxy)["revision"]
    master.stop()
    kill_all(proxy)
    os.truncate(control_of(proxy), Control.SIZE + 4096)
    proxy.start(ready=False)
    wait_until(lambda: "set aside" in proxy.log_text(), 10, "they are set aside")
    proxy.stop()
    os.truncate(control_of(proxy), Control.SIZE)
    proxy.start()
    serves_and_resumes(master, proxy, dbid, revision)


@pytest.mark.long
def test_segments_of_another_key_table_are_built_anew_without_the_master(
    pair: tuple[Master, Proxy, int],
) -> None:
    master, proxy, dbid = pair
    revision = status(proxy)["revision"]
    master.stop()
    kill_all(proxy)
    instance = control_of(proxy).name.removeprefix("csp-").removesuffix("-control")
    (generation,) = segment.generations(instance)
    with (SEGMENTS / segment.data_name(instance, generation)[1:]).open("r+b") as data:
        start = data.read(65_536)
        data.seek(start.index(TABLE_DIGEST.to_bytes(8, "little")))
        data.write((4711).to_bytes(8, "little"))
    proxy.start()
    with SnapshotFile(snapshot_of(proxy)) as file:
        assert file.info.table == 4711
    with proxy.client() as client:
        assert json.loads(client.execute_command("CFG.FIND", "CfgSkill", "name", "then"))
    serves_and_resumes(master, proxy, dbid, revision)


# ---- snapshots that can't be used


def cut(data: bytearray) -> None:
    del data[len(data) // 2 :]


def flip(data: bytearray) -> None:
    data[len(data) // 2] ^= 1


def reformat(data: bytearray) -> None:
    pack_into("<I", data, 8, 99)


@parametrize_few(
    ("harm", "words"),
    [(cut, "it is damaged"), (flip, "it is damaged"), (reformat, "it is of another release")],
    quick=1,
)
def test_a_snapshot_that_is_no_use_is_said_and_not_used(
    pair: tuple[Master, Proxy, int], harm: Callable[[bytearray], None], words: str
) -> None:
    master, proxy, dbid = pair
    proxy.stop()
    master.stop()
    path = snapshot_of(proxy)
    data = bytearray(path.read_bytes())
    harm(data)
    path.write_bytes(data)
    proxy.start(ready=False)
    wait_until(lambda: "51361" in proxy.log_text(), 10, "it is said")
    (line,) = [line for line in proxy.log_text().splitlines() if "51361" in line]
    assert words in line
    assert "master" in line  # what to do
    assert "died" not in proxy.log_text()
    master.start()
    proxy.wait_ready()
    assert name_of(proxy, dbid) == "then"


@pytest.mark.long
def test_another_applications_snapshot_is_not_used(pair: tuple[Master, Proxy, int]) -> None:
    master, proxy, _ = pair
    proxy.stop()
    with Proxy(proxy.folder, master, app="proxy2") as other:
        other.stop()
        shutil.copy(snapshot_of(proxy), snapshot_of(other))
        master.stop()
        other.start(ready=False)
        wait_until(lambda: "it is another server's" in other.log_text(), 10, "it is said")
        assert "--state-dir" in other.log_text()


@pytest.mark.long
def test_a_proxy_of_another_master_does_not_begin_with_the_first_ones(
    pair: tuple[Master, Proxy, int], tmp_path: Path
) -> None:
    master, proxy, dbid = pair
    proxy.stop()
    (tmp_path / "second").mkdir()
    with Master(tmp_path / "second") as second:
        proxy.master_port = second.port
        proxy.start()
        assert "51362" not in proxy.log_text()
        with proxy.client() as client:
            assert client.get(f"CfgSkill:{dbid}") is None
        proxy.stop()
    proxy.master_port = master.port
    proxy.start()
    assert name_of(proxy, dbid) == "then"


# ---- a writer of snapshots that fails or dies


@pytest.mark.long
def test_a_stop_without_a_snapshot_leaves_the_segments(pair: tuple[Master, Proxy, int]) -> None:
    master, proxy, dbid = pair
    revision = status(proxy)["revision"]
    master.stop()
    folder = next(proxy.state.iterdir())
    shutil.rmtree(folder)
    folder.write_text("no folder any more")
    assert proxy.stop() == 0
    assert "51363" in proxy.log_text()
    assert segments_of(proxy.port)
    folder.unlink()
    proxy.start()
    serves_and_resumes(master, proxy, dbid, revision)


@parametrize_few(
    "place",
    ["snapshot.block", "snapshot.block=kill@3", "snapshot.end", "snapshot.synced"],
    quick=1,
)
def test_a_snapshot_that_was_killed_leaves_the_one_before(
    pair: tuple[Master, Proxy, int], place: str
) -> None:
    master, proxy, dbid = pair
    first = status(proxy)["revision"]
    proxy.stop()
    point = place if "=" in place else f"{place}=kill"
    proxy.start(CSP_FAILPOINT=point)
    follows(proxy, rename(master, dbid, "newer"))
    master.stop()
    assert proxy.stop() == 0
    assert segments_of(proxy.port)
    lose_memory(proxy)
    proxy.start()
    serves_and_resumes(master, proxy, dbid, first)


@pytest.mark.long
def test_a_snapshot_that_was_killed_behind_its_renaming_is_whole(
    pair: tuple[Master, Proxy, int],
) -> None:
    master, proxy, dbid = pair
    proxy.stop()
    proxy.start(CSP_FAILPOINT="snapshot.renamed=kill")
    revision = rename(master, dbid, "then")
    follows(proxy, revision)
    master.stop()
    assert proxy.stop() == 0
    lose_memory(proxy)
    proxy.start()
    serves_and_resumes(master, proxy, dbid, revision)


@pytest.mark.long
@pytest.mark.parametrize("place", ["snapshot.read@1", "snapshot.read@4", "snapshot.loaded@1"])
def test_a_writer_that_was_killed_while_it_loads_is_followed_by_one_that_loads(
    pair: tuple[Master, Proxy, int], place: str
) -> None:
    master, proxy, dbid = pair
    revision = status(proxy)["revision"]
    proxy.stop()
    master.stop()
    name, _, number = place.partition("@")
    folder = proxy.runtime / next(proxy.state.iterdir()).name
    folder.mkdir(mode=0o700)
    (folder / "failpoint").write_text(f"{name}=kill@{number}\n")
    proxy.start()
    assert "writer (pid" in proxy.log_text()
    assert "died: signal SIGKILL" in proxy.log_text()
    serves_and_resumes(master, proxy, dbid, revision)
