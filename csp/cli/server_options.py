"""The options that several verbs share, and the types of their values.

Options of configuration servers are written with one dash (`-host`); both ways are taken.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

import click

from csp.observe.log import LEVELS, LogSettings
from csp.process.credentials import PasswordFileRefused, read_password
from csp.supervisor.listeners import Address, parse_address
from csp.supervisor.settings import RESERVE_BYTES_DEFAULT, WORKERS_MAX

Function = TypeVar("Function", bound=Callable[..., Any])

UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
RESERVE_BYTES_MIN = 16 << 20
APP_CHARACTERS_MAX = 255
PASSWORD_FILE_VARIABLE = "CSP_PASSWORD_FILE"


class AddressType(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.4
    """HOST:PORT."""

    name = "host:port"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Address:
        if isinstance(value, Address):
            return value
        try:
            return parse_address(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class SizeType(click.ParamType):  # type: ignore[type-arg]
    """A number of bytes, with K, M, G or T after it."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        text = str(value).upper().removesuffix("IB").removesuffix("B")
        number, unit = (text[:-1], text[-1]) if text[-1:] in UNITS and text[-1:] else (text, "")
        if not number.isdecimal():
            self.fail(f"{value!r} is not a size such as 512M or 64G", param, ctx)
        size = int(number) * UNITS[unit]
        if size < RESERVE_BYTES_MIN:
            self.fail(f"{value!r} is less than 16M", param, ctx)
        return size


def server_options(function: Function) -> Function:
    """What master and proxy have in common: workers, memory, log."""
    for option in reversed(
        (
            click.option(
                "--workers",
                type=click.IntRange(1, WORKERS_MAX),
                default=None,
                help="Processes that serve clients (default: one per processor, 4 at most).",
            ),
            click.option(
                "--reserve",
                type=SizeType(),
                default=RESERVE_BYTES_DEFAULT,
                show_default="64G",
                help="Address space of the store; memory is taken as objects come.",
            ),
            click.option(
                "-log-file", "--log-file", default=None, help="Log to a file instead of stderr."
            ),
            click.option(
                "-log-format",
                "--log-format",
                type=click.Choice(["text", "json"]),
                default="text",
                show_default=True,
            ),
            click.option(
                "-log-level",
                "--log-level",
                type=click.Choice(list(LEVELS)),
                default="info",
                show_default=True,
            ),
        )
    ):
        function = option(function)
    return function


def log_settings(path: str | None, form: str, level: str) -> LogSettings:
    """The log's settings; refuses a file that can't be written."""
    if path is not None:
        path = os.path.abspath(path)
        folder = os.path.dirname(path)
        if not os.access(path if os.path.exists(path) else folder, os.W_OK):
            raise click.UsageError(f"the log file {path} can't be written")
    return LogSettings(path, "json" if form == "json" else "text", level)


def default_worker_count() -> int:
    """One per processor that this process may use, but no more than four."""
    return min(len(os.sched_getaffinity(0)), 4)


def check_app_name(name: str) -> str:
    """An Application's name as the command line gave it."""
    if not name or len(name) > APP_CHARACTERS_MAX or any(ord(letter) < 32 for letter in name):
        raise click.UsageError(f"{name!r} can't be the name of an Application")
    return name


def ask_new_password(user: str, variable: str, password_file: str = "") -> str:
    """A password to be set, from a file, from the environment, or from a prompt; not empty."""
    if password_file:
        password = _password_in(password_file)
    elif variable in os.environ:
        password = os.environ[variable]
    elif os.isatty(0):
        question = f"New password of {user}"
        again = "Once more"
        password = str(click.prompt(question, hide_input=True, confirmation_prompt=again, err=True))
    else:
        raise click.UsageError(
            f"give --password-file or set {variable}: there is no terminal to ask for the new "
            f"password of {user}"
        )
    if not password:
        raise click.UsageError(f"the new password of {user} is empty")
    return password


def _password_in(path: str) -> str:
    try:
        return read_password(path)
    except PasswordFileRefused as error:
        raise click.UsageError(f"the password file {error}") from None


def ask_credentials(password_file: str = "") -> tuple[str, str]:
    """User and password from the environment, from a file, or from a prompt; never an argument."""
    user = os.environ.get("CSP_USER", "default")
    path = password_file or os.environ.get(PASSWORD_FILE_VARIABLE, "")
    if path:
        return user, _password_in(path)
    password = os.environ.get("CSP_PASSWORD")
    if password is None:
        if not os.isatty(0):
            raise click.UsageError(
                "set CSP_PASSWORD or CSP_PASSWORD_FILE: there is no terminal to ask for it"
            )
        password = str(click.prompt(f"Password of {user}", hide_input=True, err=True))
    return user, password
