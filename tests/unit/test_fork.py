"""What a child of the supervisor has and has not, seen from within it."""

from __future__ import annotations

import ctypes
import os
import resource
import socket
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from csp.observe.log import LogSettings
from csp.process.context import Upstream
from csp.process.roles import AUTH, ROLES, SECRET_VARIABLES, WORKER, WRITER, Role
from csp.supervisor import plan
from csp.supervisor.child import Child
from csp.supervisor.fork import Forked, fork_child, guard
from csp.supervisor.instance import Instance, RuntimeFolderRefused, take_instance
from csp.supervisor.settings import ServerSettings

PR_GET_DUMPABLE = 3


def told_by_child(look: Callable[[], Any], *, keep: int = -1, is_guarded: bool = False) -> Any:
    """What `look` finds in a child."""
    read_fd, write_fd = os.pipe2(os.O_CLOEXEC)
    child = fork_child(
        "csp test: child",
        "test",
        lambda: os.write(write_fd, orjson.dumps(look())) and None,
        [fd for fd in (write_fd, keep) if fd >= 0],
        LogSettings(level="none"),
        is_guarded=is_guarded,
    )
    os.close(write_fd)
    with os.fdopen(read_fd, "rb") as pipe:
        told = pipe.read()
    os.close(child.stat_fd)
    _, status = os.waitpid(child.pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    return orjson.loads(told)


def open_descriptors() -> dict[str, str]:
    return {name: _target(name) for name in os.listdir("/proc/self/fd")}


def _target(name: str) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{name}")
    except FileNotFoundError:
        return ""  # the listing's own


def test_a_child_keeps_only_what_it_was_given() -> None:
    kept, others = socket.socketpair()
    control = os.pipe2(os.O_CLOEXEC)  # another child's: its end tells that one of our death
    with kept, others:
        found = told_by_child(open_descriptors, keep=kept.fileno())
        assert str(kept.fileno()) in found
        for fd in (others.fileno(), *control):
            target = os.readlink(f"/proc/self/fd/{fd}")
            assert target not in found.values(), f"the child has {target}, which is another's"
    for fd in control:
        os.close(fd)


def is_dumpable() -> int:
    return int(ctypes.CDLL(None).prctl(PR_GET_DUMPABLE, 0, 0, 0, 0))


@pytest.mark.parametrize("is_guarded", [True, False])
def test_a_guarded_child_leaves_no_core(is_guarded: bool) -> None:
    assert told_by_child(is_dumpable, is_guarded=is_guarded) == (0 if is_guarded else 1)
    limits = told_by_child(lambda: resource.getrlimit(resource.RLIMIT_CORE), is_guarded=is_guarded)
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    assert limits[1] == (0 if is_guarded else hard)


@pytest.mark.parametrize("is_guarded", [True, False])
def test_what_a_guarded_parent_forks_is_what_it_asks_for(is_guarded: bool) -> None:
    """In a parent of its own, as nobody is unguarded again."""

    def parent() -> list[int]:
        guard()
        return [told_by_child(is_dumpable, is_guarded=is_guarded), is_dumpable()]

    assert told_by_child(parent) == [0 if is_guarded else 1, 0]


def test_who_hears_passwords_is_guarded() -> None:
    assert {role.name for role in ROLES.values() if role.is_guarded} == {
        "writer",
        "auth",
        "worker",
        "reading",
        "ldap",
        "radius",
        "kerberos",
    }


def test_the_progress_of_a_guarded_child_can_be_read() -> None:
    is_over, end = os.pipe()
    child = fork_child(
        "csp test: child",
        "test",
        lambda: os.read(is_over, 1) and None,
        [is_over],
        LogSettings(level="none"),
        is_guarded=True,
    )
    place = Child(AUTH, AUTH.slot, "auth", pid=child.pid, stat_fd=child.stat_fd)
    assert place.cpu_and_state()[1] in "RSD"
    os.close(end)
    os.close(is_over)
    os.waitpid(child.pid, 0)
    with pytest.raises(ProcessLookupError):
        place.cpu_and_state()
    place.close_pipes()


# What is secret.


def settings() -> ServerSettings:
    return ServerSettings(
        mode="proxy",
        app_name="p",
        listen=None,
        worker_count=1,
        log=LogSettings(),
        database_url="postgresql://csp:secret@db/csp",
        upstream=Upstream("master", 2020, "default", "secret"),
    )


@pytest.mark.parametrize("role", [WORKER, AUTH])
def test_a_process_that_needs_no_secret_has_none(
    role: Role, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    made = plan.Plan.__new__(plan.Plan)
    made.settings = settings()
    for name in SECRET_VARIABLES:
        monkeypatch.setenv(name, "secret")
    monkeypatch.setattr(
        plan,
        "run_role",
        lambda _: seen.extend([str(vars(made.settings)), str(made.settings.upstream), *os.environ]),
    )
    made._main(SimpleNamespace(role=role))  # type: ignore[arg-type]
    assert seen
    assert not any("secret" in one for one in seen)
    assert not SECRET_VARIABLES.keys() & set(seen)
    assert made.settings.upstream == Upstream("master", 2020, "default", "")


def test_the_writer_keeps_them() -> None:
    made = settings()
    environment = dict.fromkeys(SECRET_VARIABLES, "secret")
    made.forget(WRITER, environment)
    assert made == settings()
    assert environment == dict.fromkeys(SECRET_VARIABLES, "secret")


# Whose the runtime folder is.


@pytest.fixture
def instance(tmp_path: Path) -> Instance:
    return take_instance("one", tmp_path)


@pytest.mark.parametrize("role", [WRITER, AUTH])
def test_a_channel_is_its_users_alone(instance: Instance, role: Role) -> None:
    before = os.umask(0)
    try:
        with instance.listen_channel(role):
            mode = (instance.folder / role.socket_name).stat().st_mode
    finally:
        os.umask(before)
    assert mode & 0o777 == 0o600
    assert instance.folder.stat().st_mode & 0o777 == 0o700


def test_a_runtime_folder_of_another_user_is_refused(tmp_path: Path) -> None:
    place = Path("/usr")  # root's
    if os.getuid() == 0:
        place = tmp_path / "theirs"
        place.mkdir(mode=0o700)
        os.chown(place, 12_345, -1)
    with pytest.raises(RuntimeFolderRefused, match="belongs to another user"):
        take_instance(place.name, place.parent)


def test_a_runtime_folder_that_others_may_enter_is_closed(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir(mode=0o755)
    assert take_instance("one", tmp_path).folder.stat().st_mode & 0o777 == 0o700


_forked: type[tuple[int, int]] = Forked
