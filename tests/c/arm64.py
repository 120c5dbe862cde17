"""Compiles the ways to shared words for arm64, with and without its atomic instructions."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCE = Path(__file__).with_suffix(".c")
# What the sources want of a C library: the compiler comes without one.
HEADERS = {
    "errno.h": "",
    "string.h": "#include <stddef.h>\nvoid *memcpy(void *to, const void *from, size_t size);\n",
    "sys/auxv.h": "#define AT_HWCAP 16\nunsigned long getauxval(unsigned long type);\n",
}
FUNCTION = re.compile(r"^([\w.]+):\n(.*?)^\s+\.size\s+\1,", re.MULTILINE | re.DOTALL)


def instructions(march: str, folder: Path) -> dict[str, list[str]]:
    """The instructions of each function, without their operands but for a barrier's kind."""
    for name, text in HEADERS.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    assembly = subprocess.run(
        [
            "aarch64-linux-gnu-gcc",
            "-O2",
            "-ffreestanding",
            "-mno-outline-atomics",
            f"-march={march}",
            f"-I{folder}",
            f"-I{ROOT / 'csp'}",
            "-S",
            "-o-",
            str(SOURCE),
        ],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return {name: _operations(body) for name, body in FUNCTION.findall(assembly)}


def _operations(body: str) -> list[str]:
    found = []
    for line in body.splitlines():
        words = line.split()
        if words and re.fullmatch(r"[a-z][a-z0-9.]*", words[0]) and not words[0].startswith("."):
            found.append(" ".join(words) if words[0] == "dmb" else words[0])
    return found
