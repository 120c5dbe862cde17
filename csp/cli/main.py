"""Finds the verb on the command line and imports only that verb's module.

Exit codes of every verb: 0 done, 1 not found or different, 2 usage or refused object,
3 no connection or port, 4 refused by the server, 6 no room for the output, 130 interrupted.

Whatever goes wrong is a line on standard error and an exit code, never a traceback: what no verb
expects (a full disk behind standard output, an argument that is no text) is told here.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any, NoReturn

import click

from csp import __version__
from csp.cli.output import STDOUT, CantWrite, cant_write, stdout_bytes
from csp.exits import EXIT_DONE, EXIT_INTERRUPTED, EXIT_NOT_FOUND, EXIT_USAGE

# Verb: module under csp.cli, which has a click command named `command`; and one line of help,
# here too so that `csp --help` imports nothing.
VERBS = {
    "master": ("master", "Run a configuration server on a database."),
    "proxy": ("proxy", "Run a proxy of a configuration server."),
    "import": ("import_", "Import configuration files."),
    "export": ("export", "Write the objects of a server as a file."),
    "estate": ("estate", "Make a realistic contact centre of any size, as a file."),
    "get": ("get", "Show objects by key."),
    "read": ("read", "Show the objects of a class."),
    "count": ("count", "Count the objects of a class."),
    "create": ("create", "Create an object."),
    "update": ("update", "Change an object."),
    "delete": ("delete", "Delete an object."),
    "option": ("option", "Show, set or delete an option."),
    "watch": ("watch", "Show changes as they happen."),
    "status": ("status", "Show the state of a server."),
    "switchover": ("switchover", "Have the other server of a pair take over."),
    "metrics": ("metrics", "Show what each process of a server has counted."),
    "clients": ("clients", "Show who is connected to a server."),
    "drain": ("drain", "Lead the clients of a server to others."),
    "verify": ("verify", "Compare a proxy with its master, record by record."),
    "history": ("history", "Show who changed what, and when."),
    "grant": ("grant", "Grant rights on an object to a person or an access group."),
    "revoke": ("revoke", "Take a grant away."),
    "permissions": ("permissions", "Show who is granted what on an object."),
    "access": ("access", "Say what a user may do with an object, and why."),
    "passwd": ("passwd", "Change a password."),
    "config": ("config", "Show and check the options of servers."),
    "completion": ("completion", "Print the completion script of a shell."),
    "store": ("store", "Look into the shared memory of a server on this host."),
}


RUN_SERVERS = frozenset(("master", "proxy"))  # their output is a log


class VerbGroup(click.Group):
    """A group that imports a verb's module when the verb is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        command = importlib.import_module(f"csp.cli.{VERBS[cmd_name][0]}").command
        assert isinstance(command, click.Command)
        return command

    def main(self, *args: Any, **extra: Any) -> NoReturn:
        """Runs the command line, and ends with its exit code."""
        code, is_told = EXIT_DONE, False
        words = list(args[0] if args else extra.get("args") or sys.argv[1:])
        try:
            if sys.stdout is None and not RUN_SERVERS.intersection(words[:1]):
                stdout_bytes()  # says that it is closed, before anything is done
            found = super().main(*args, **extra | {"standalone_mode": False})
            code = found if isinstance(found, int) else EXIT_DONE
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else EXIT_NOT_FOUND
        except BrokenPipeError:
            pass  # whoever read the output has gone
        except (click.exceptions.Abort, KeyboardInterrupt):
            code = _say("interrupted", EXIT_INTERRUPTED)
        except click.ClickException as problem:
            code, is_told = _show(problem), isinstance(problem, CantWrite)
        except UnicodeEncodeError as problem:
            shown = problem.object.encode("utf-8", "backslashreplace").decode()
            code = _say(f"{shown!r} is not UTF-8 text", EXIT_USAGE)
        except OSError as problem:
            code, is_told = _show(cant_write(problem.filename or STDOUT, problem)), True
        sys.exit(_flushed(code, is_told=is_told))

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Verbs"):
            formatter.write_dl([(verb, text) for verb, (_, text) in VERBS.items()])


def _say(text: str, code: int) -> int:
    click.echo(f"csp: {text}", err=True)
    return code


def _show(problem: click.ClickException) -> int:
    if isinstance(problem, click.UsageError):
        problem.show()
    else:
        click.echo(f"csp: {problem.format_message()}", err=True)
    return problem.exit_code


def _flushed(code: int, *, is_told: bool) -> int:
    """Writes out what standard output still holds; what can't be is told, once, and not at exit."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as problem:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not is_told and not isinstance(problem, BrokenPipeError):
            return _show(cant_write(STDOUT, problem))
    return code


@click.group(cls=VerbGroup, context_settings={"help_option_names": ["--help"]})
@click.version_option(__version__, "-V", "--version", message="csp %(version)s")
def main() -> None:
    """csp: an open Configuration Server Proxy.

    Credentials come from CSP_USER (default: default) and CSP_PASSWORD, or a prompt.
    """
