"""Installs the programs outside Python that the tests use, and says which could not be had.

`python -m tests.needs` installs; tests name it in a marker, `@pytest.mark.needs(name)`.
A program that can't be installed leaves out its tests: they are listed at the end of the run,
and in CI that is a failure.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NODE_FOLDER = ROOT / "tests" / "server" / "clients" / "node"
NODE_MODULES = ("ioredis", "iovalkey", "redis")
INSTALL_SECONDS_MAX = 600


@dataclass(frozen=True)
class Need:
    """A program: the name to look for on PATH and the Debian package that has it."""

    program: str
    package: str


NEEDS = {
    "redis-server": Need("redis-server", "redis-server"),
    "haproxy": Need("haproxy", "haproxy"),
    "redis-cli": Need("redis-cli", "redis-tools"),
    "openssl": Need("openssl", "openssl"),
    "spin": Need("spin", "spin"),
    "cc": Need("gcc", "gcc"),
    "clang": Need("clang", "clang"),
    "clang-runtime": Need("clang", "libclang-rt-dev"),  # its sanitizers and libFuzzer
    "cc-arm64": Need("aarch64-linux-gnu-gcc", "gcc-aarch64-linux-gnu"),
    "valgrind": Need("valgrind", "valgrind"),
    "systemd-analyze": Need("systemd-analyze", "systemd"),
    "node": Need("node", "nodejs"),
    "npm": Need("npm", "npm"),
    "tc": Need("tc", "iproute2"),
    "zsh": Need("zsh", "zsh"),
    "fish": Need("fish", "fish"),
    "postgres": Need("postgres", "postgresql"),
    "etcd": Need("etcd", "etcd-server"),  # what writes are measured against
    "slapd": Need("slapd", "slapd"),
    "freeradius": Need("freeradius", "freeradius"),
    "krb5kdc": Need("krb5kdc", "krb5-kdc"),
    "kadmin.local": Need("kadmin.local", "krb5-admin-server"),
    "kinit": Need("kinit", "krb5-user"),
    "faketime": Need("faketime", "faketime"),  # another time for one process
}
POSTGRES_FOLDERS = Path("/usr/lib/postgresql")  # Debian keeps its programs here, by release
CLUSTER_SETTINGS = Path("/etc/postgresql-common/createcluster.conf")


def is_here(name: str) -> bool:
    """Whether the program, or the node modules, can be used now."""
    if name == "node-modules":
        return all((NODE_FOLDER / "node_modules" / one).is_dir() for one in NODE_MODULES)
    if name == "postgres":
        return (postgres_folder() / "initdb").exists()
    if name == "clang-runtime":
        return is_here("clang") and any(clang_libraries().glob("libclang_rt.fuzzer_no_main-*"))
    return shutil.which(NEEDS[name].program) is not None


def clang_libraries() -> Path:
    """Where clang looks for its own libraries; Debian has them in a package beside it."""
    printed = subprocess.check_output(["clang", "-print-resource-dir"], text=True)
    return Path(printed.strip()) / "lib" / "linux"


def postgres_folder() -> Path:
    """Where the newest PostgreSQL's programs are; the first folder of PATH that has them wins."""
    on_path = shutil.which("initdb")
    if on_path:
        return Path(on_path).resolve().parent
    found = [one / "bin" for one in POSTGRES_FOLDERS.glob("*") if one.name.isdigit()]
    return max(found, key=lambda one: int(one.parent.name), default=Path("/nonexistent"))


def install() -> list[str]:
    """Installs what is missing; returns the names that are still missing."""
    packages = [need.package for name, need in NEEDS.items() if not is_here(name)]
    if packages:
        if "postgresql" in packages:
            _want_no_cluster()
        _apt_install(packages)
    if (NODE_FOLDER / "package.json").exists() and not is_here("node-modules") and is_here("npm"):
        # What the lock file says, which "npm install" would write anew.
        _run(["npm", "ci", "--no-audit", "--no-fund", "--silent"], NODE_FOLDER)
    names = [*NEEDS, "node-modules"] if (NODE_FOLDER / "package.json").exists() else [*NEEDS]
    return [name for name in names if not is_here(name)]


def _want_no_cluster() -> None:
    """Debian's package starts a server of its own unless it is told not to; ours are enough."""
    if CLUSTER_SETTINGS.exists() or shutil.which("apt-get") is None:
        return
    as_root = [] if os.geteuid() == 0 else ["sudo", "-n"]
    _run([*as_root, "mkdir", "-p", str(CLUSTER_SETTINGS.parent)], ROOT)
    _run([*as_root, "sh", "-c", f"echo create_main_cluster = false > {CLUSTER_SETTINGS}"], ROOT)


def _apt_install(packages: list[str]) -> None:
    if shutil.which("apt-get") is None:
        return
    as_root = [] if os.geteuid() == 0 else ["sudo", "-n"]
    print(f"needs: installing Debian packages: {' '.join(packages)}", file=sys.stderr)
    _run([*as_root, "apt-get", "update", "-qq"], ROOT)
    _run([*as_root, "apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages], ROOT)


def _run(command: list[str], folder: Path) -> None:
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=INSTALL_SECONDS_MAX,
        check=False,
    )
    if done.returncode:
        print(f"needs: {' '.join(command)} failed:\n{done.stdout[-2000:]}", file=sys.stderr)


if __name__ == "__main__":
    for name in install():
        print(f"needs: {name} could not be installed; its tests are left out", file=sys.stderr)
