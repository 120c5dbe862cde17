"""Builds the extension for libFuzzer and runs one target with it; both kept under .venv/fuzz.

1. The extension is compiled by clang with coverage, AddressSanitizer and UBSan, all of it.
2. libFuzzer itself is a shared object beside it, loaded into Python: targets are Python functions
   that hand the bytes to the compiled core, which the sanitizers watch.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from tests.needs import clang_libraries

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / ".venv" / "fuzz"
DRIVER = FOLDER / "driver.so"
LOCK = FOLDER.with_name("fuzz.lock")  # beside the folder, which a build makes anew
CORPUS = ROOT / "tests" / "fuzz" / "corpus"
FLAGS = (
    "-O1 -DCSP_CHECKED -fno-omit-frame-pointer -fsanitize=fuzzer-no-link,address,undefined "
    "-fno-sanitize-recover=all -shared-libasan"
)
PYTHON_ROOMS = (
    "errors.py",
    "model",
    "process",
    "tables",
)  # what targets use beside it
BUILD_SECONDS_MAX = 600
INPUT_SECONDS_MAX = 10  # an input that takes longer is a hang
INPUT_BYTES_MAX = 65536
MEMORY_MB_MAX = 2048
GRACE_SECONDS = 60


def build() -> None:
    """Builds what is missing or older than the sources; RuntimeError with the compiler's words.

    One process at a time: the others wait, and then find it built.
    """
    LOCK.parent.mkdir(parents=True, exist_ok=True)
    with LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _build()


def _build() -> None:
    sources = [ROOT / "setup.py", ROOT / "csp" / "_fastpath.pyx", *_sources(), Path(__file__)]
    made = next(iter((FOLDER / "csp").glob("_fastpath.*.so")), None)
    newest = max(source.stat().st_mtime for source in sources)
    if made and DRIVER.exists() and made.stat().st_mtime > newest:
        return
    shutil.rmtree(FOLDER, ignore_errors=True)
    (FOLDER / "csp").mkdir(parents=True)
    for name in ("setup.py", "pyproject.toml", "csp/__init__.py", "csp/_fastpath.pyx"):
        shutil.copy(ROOT / name, FOLDER / name)
    shutil.copytree(ROOT / "csp" / "_fastpath", FOLDER / "csp" / "_fastpath")
    for name in PYTHON_ROOMS:
        (FOLDER / "csp" / name).symlink_to(ROOT / "csp" / name)
    libraries = clang_libraries()
    fuzzer = libraries / f"libclang_rt.fuzzer_no_main-{_machine()}.a"
    whole = ["-Wl,--whole-archive", str(fuzzer), "-Wl,--no-whole-archive"]
    _run(["clang", "-shared", "-o", str(DRIVER), *whole, "-l:libstdc++.so.6", "-lm", "-lpthread"])
    environment = {"CC": "clang", "LDSHARED": "clang -shared", "CSP_CFLAGS": FLAGS}
    _run([sys.executable, "setup.py", "-q", "build_ext", "--inplace"], **environment)


def fuzz(target: str, *, seconds: int, found: Path, seed: int = 0) -> int:
    """Runs one target for so long; new inputs and those that fail go to `found`. Exit code."""
    found.mkdir(parents=True, exist_ok=True)
    arguments = [
        f"-max_total_time={seconds}",
        f"-timeout={INPUT_SECONDS_MAX}",
        f"-max_len={INPUT_BYTES_MAX}",
        f"-rss_limit_mb={MEMORY_MB_MAX}",
        f"-artifact_prefix={found}/failed-",
        f"-seed={seed}",
        "-print_final_stats=1",
        "-len_control=20",
    ]
    seeds = [str(one) for one in (CORPUS / target,) if one.is_dir()]
    fresh = found / target
    fresh.mkdir(exist_ok=True)
    return run(target, [*arguments, str(fresh), *seeds], within=seconds + GRACE_SECONDS)


def run(target: str, arguments: list[str], *, within: float) -> int:
    """Runs a target with libFuzzer's own arguments, among them files to try again. Exit code."""
    return run_module("tests.fuzz.targets", str(DRIVER), target, *arguments, within=within)


def run_module(module: str, *arguments: str, within: float) -> int:
    """Runs a module of the tests with the extension that the sanitizers watch. Exit code."""
    environment = os.environ | {
        # libFuzzer first: the sanitizer has empty counterparts of its coverage hooks.
        "LD_PRELOAD": f"{DRIVER} {clang_libraries() / f'libclang_rt.asan-{_machine()}.so'}",
        # Python keeps what it once allocated: leaks are no finding here.
        "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1:verify_asan_link_order=0",
        "UBSAN_OPTIONS": "print_stacktrace=1",
        "PYTHONMALLOC": "malloc",  # so that the sanitizer sees the bounds of every bytes object
        "PYTHONPATH": f"{FOLDER}{os.pathsep}{ROOT}",
        "PYTHONSAFEPATH": "1",
        "PYTHONHASHSEED": "0",
    }
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.run(command, cwd=FOLDER, env=environment, timeout=within).returncode


def _sources() -> list[Path]:
    return [path for path in (ROOT / "csp" / "_fastpath").rglob("*") if path.is_file()]


def _machine() -> str:
    return sysconfig.get_platform().rpartition("-")[2]


def _run(command: list[str], **environment: str) -> str:
    done = subprocess.run(
        command,
        cwd=FOLDER if FOLDER.exists() else ROOT,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=BUILD_SECONDS_MAX,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout[-3000:]}")
    return done.stdout
