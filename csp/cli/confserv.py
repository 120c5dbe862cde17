"""bin/confserv: takes the command line of the original's server and runs csp as it says.

With -host it is a proxy, else a master. What each flag becomes stands in FLAGS, and in
docs/reference/cli.md. What is wrong with the line is said before anything is opened: exit code 1.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NoReturn

from csp import __version__
from csp.observe.log import LEVEL_OF_VERBOSE
from csp.supervisor.listeners import PORT_MAX

EXIT_USAGE: Final = 1
PORT_DEFAULT: Final = "2020"
HONOURED, IGNORED, REFUSED = "honoured", "accepted, with a warning", "refused"
VALUE, FLAG, PERHAPS = "value", "flag", "perhaps"  # what follows the flag


@dataclass(frozen=True)
class Flag:
    """One flag of the original, and what becomes of it."""

    name: str
    takes: str
    fate: str
    text: str


FLAGS: Final = {
    one.name: one
    for one in (
        Flag("-host", VALUE, HONOURED, "Host of the master; makes this a proxy."),
        Flag("-port", VALUE, HONOURED, "Port of the master."),
        Flag("-app", VALUE, HONOURED, "Name of the Application."),
        Flag("-l", VALUE, HONOURED, "Licence file or port@host: accepted, nothing is enforced."),
        Flag("-V", FLAG, HONOURED, "Print the version and end."),
        Flag("-v", FLAG, HONOURED, "The same."),
        Flag(
            "-s", VALUE, HONOURED, "Master: section of the start-up file, the Application's name."
        ),
        Flag("-c", VALUE, HONOURED, "Master: the start-up file; its port is taken."),
        Flag("-nco", PERHAPS, IGNORED, "csp restarts the part that failed; nothing is counted."),
        Flag("-lmspath", VALUE, IGNORED, "The messages are part of the program."),
        Flag("-transport-port", VALUE, HONOURED, "Proxy: the port its link comes from."),
        Flag("-transport-address", VALUE, HONOURED, "Proxy: the address its link comes from."),
        Flag("-p", FLAG, REFUSED, "There is no file with passwords: use the environment."),
        Flag(
            *("-cfglib_port", VALUE, REFUSED),
            "To mend TLS start once with --listen-tls unsecured, and --listen at the loopback.",
        ),
        Flag("-checkerrors", FLAG, REFUSED, "Use `csp verify` while the master runs."),
        Flag("-checkdb", FLAG, REFUSED, "Use `csp verify` while the master runs."),
        Flag("-sa", FLAG, REFUSED, "No public text says what it does."),
        Flag("-stop", FLAG, REFUSED, "Send the process SIGTERM."),
    )
}
# csp's own, needed where the original reads a file.
OWN: Final = (
    *("--db", "--listen", "--workers", "--reserve", "--state-dir", "--listen-tls"),
    *("--listen-certificate", "--listen-key", "--listen-ca", "--listen-crl"),
    *("--source", "--tls-ca", "--tls-cert", "--tls-key", "--tls-name"),
)
OWN_FLAGS: Final = ("--create-app", "--forget-memory", "--tls")
LOG: Final = "-log-"
OUTPUTS: Final = ("all", "standard", "interaction", "trace", "debug")


@dataclass
class Line:
    """A command line, taken apart."""

    values: dict[str, str] = field(default_factory=dict)
    own: list[str] = field(default_factory=list)
    logs: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


def main(arguments: Sequence[str]) -> None:
    """Runs the server, or ends with a message."""
    if any(word in ("-V", "-v") for word in arguments):
        sys.stdout.write(f"csp {__version__}\n")
        sys.exit(0)
    line = parse(arguments)
    words = proxy_words(line) if "-host" in line.values else master_words(line)
    words += log_words(line)
    for text in line.warnings:
        sys.stderr.write(f"confserv: {text}\n")
    from csp.cli.main import main as run

    run(words, prog_name="csp")


def parse(arguments: Sequence[str]) -> Line:
    """Takes the line apart; what it may not hold ends the program."""
    line, rest = Line(), list(arguments)
    while rest:
        word = rest.pop(0)
        if word in OWN_FLAGS:
            line.own.append(word)
        elif word in OWN:
            line.own += [word, _value(word, rest)]
        elif word.startswith(LOG):
            _take_log(line, word.removeprefix(LOG), _value(word, rest))
        elif word not in FLAGS:
            _end(f"there is no flag {word!r}")
        else:
            _take(line, FLAGS[word], rest)
    return line


def _take(line: Line, flag: Flag, rest: list[str]) -> None:
    if flag.fate == REFUSED:
        _end(f"{flag.name} is not supported: {flag.text}", usage=False)
    value = ""
    if flag.takes == VALUE or (flag.takes == PERHAPS and rest and not rest[0].startswith("-")):
        value = _value(flag.name, rest)
    line.values[flag.name] = value
    if flag.fate == IGNORED:
        line.warnings.append(f"{flag.name} has no effect: {flag.text}")
    if flag.name == "-l" and "@" not in value and not os.path.exists(value):
        line.warnings.append(f"there is no licence file {value}; csp needs none and goes on")


def _take_log(line: Line, option: str, value: str) -> None:
    from csp.tables.options import find

    if find("log", option) is None:
        _end(f"there is no flag {LOG + option!r}: [log] has no option {option}")
    if option in OUTPUTS or option == "verbose":
        line.logs[option] = value
    else:
        line.warnings.append(f"{LOG}{option} has no effect yet")


def _value(name: str, rest: list[str]) -> str:
    if not rest:
        _end(f"{name} needs a value")
    return rest.pop(0)


def proxy_words(line: Line) -> list[str]:
    """The arguments of `csp` for a proxy."""
    values = line.values
    for name in ("-s", "-c"):
        if name in values:
            _end(f"{name} is a master's flag, -host a proxy's")
    for name, what in (("-port", "the master's port"), ("-app", "the Application's name")):
        if not values.get(name):
            _end(f"{name} is missing: {what}")
    port = values["-port"]
    if not _is_port(port):
        _end(f"-port {port!r} is no port: 1 to {PORT_MAX}")
    if not values["-host"]:
        _end("-host is empty: the master's host")
    own = list(line.own)
    address, source = values.get("-transport-address", ""), values.get("-transport-port", "")
    if address or source:
        shown = f"[{address}]" if ":" in address else address
        own += ["--source", f"{shown}:{source}" if source else shown]
    return ["proxy", "-host", values["-host"], "-port", port, "-app", values["-app"], *own]


def _is_port(text: str) -> bool:
    return text.isdecimal() and 1 <= int(text) <= PORT_MAX


def master_words(line: Line) -> list[str]:
    """The arguments of `csp` for a master."""
    values, own = line.values, list(line.own)
    if "-c" not in values and "-s" not in values and "--db" not in own:
        _end("-host is missing: the master's host (a master itself takes --db URL, -c, -s)")
    name = values.get("-s") or values.get("-app") or "confserv"
    if "--db" not in own:
        url = os.environ.get("CSP_DB", "")
        if not url:
            _end("a master needs its database: --db URL, or CSP_DB", usage=False)
        own += ["--db", url]
    if "--listen" not in own:
        own += ["--listen", f"0.0.0.0:{_port_of(values.get('-c', ''), name)}"]
    return ["master", "-app", name, *own]


def _port_of(file: str, section: str) -> int:
    """The port that the original's start-up file names; 2020 without a file."""
    if not file:
        return int(PORT_DEFAULT)
    from configparser import ConfigParser, Error

    parser = ConfigParser(interpolation=None, strict=False)
    try:
        parser.read_string(Path(file).read_text("utf-8", "replace"))
    except OSError as error:
        _end(f"-c {file} can't be read: {error.strerror}", usage=False)
    except Error as error:
        _end(f"-c {file} can't be read: {error}", usage=False)
    port = parser.get(section, "port", fallback=PORT_DEFAULT).strip()
    if not _is_port(port):
        _end(f"-c {file}: [{section}] port {port!r} is no port", usage=False)
    return int(port)


def log_words(line: Line) -> list[str]:
    """--log-file and --log-level; csp has one output, the widest that is named."""
    words: list[str] = []
    named = [(one, line.logs[one]) for one in OUTPUTS if one in line.logs]
    outputs = [output.strip() for _, value in named for output in value.split(",")]
    files = [one for one in outputs if one not in ("stdout", "stderr", "network", "memory", "")]
    if files:
        words += ["--log-file", files[0]]
    rest = sorted(set(outputs) - set(files[:1]) - {"stderr", ""})
    if rest:
        kept = files[0] if files else "stderr"
        line.warnings.append(f"log lines go to {kept} alone, not to {', '.join(rest)}")
    level = line.logs.get("verbose")
    if level is not None:
        if level not in LEVEL_OF_VERBOSE:
            _end(f"-log-verbose {level!r} is none of {', '.join(LEVEL_OF_VERBOSE)}")
        words += ["--log-level", LEVEL_OF_VERBOSE[level]]
    return words


def _end(text: str, *, usage: bool = True) -> NoReturn:
    sys.stderr.write(f"confserv: {text}\n")
    if usage:
        sys.stderr.write(
            "usage: confserv -host HOST -port PORT -app NAME [-l LICENCE] [-log-OPTION VALUE]…\n"
            "       confserv -s SECTION [-c FILE] --db URL [--listen HOST:PORT]\n"
            "       confserv -V\n"
        )
    sys.exit(EXIT_USAGE)


if __name__ == "__main__":
    main(sys.argv[1:])
