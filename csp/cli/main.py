"""Finds the verb on the command line and imports only that verb's module.

Exit codes of every verb: 0 done, 1 not found or different, 2 usage or refused object,
3 no connection or port, 4 refused by the server.
"""

from __future__ import annotations

import importlib

import click

from csp import __version__

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
    "metrics": ("metrics", "Show what each process of a server has counted."),
    "clients": ("clients", "Show who is connected to a server."),
    "verify": ("verify", "Compare a proxy with its master, record by record."),
    "history": ("history", "Show who changed what, and when."),
    "passwd": ("passwd", "Change a password."),
    "config": ("config", "Show and check the options of servers."),
    "completion": ("completion", "Print the completion script of a shell."),
    "store": ("store", "Look into the shared memory of a server on this host."),
}


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

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Verbs"):
            formatter.write_dl([(verb, text) for verb, (_, text) in VERBS.items()])


@click.group(cls=VerbGroup, context_settings={"help_option_names": ["--help"]})
@click.version_option(__version__, "-V", "--version", message="csp %(version)s")
def main() -> None:
    """csp: an open Configuration Server Proxy.

    Credentials come from CSP_USER (default: default) and CSP_PASSWORD, or a prompt.
    """
