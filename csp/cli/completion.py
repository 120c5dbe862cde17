"""csp completion: prints the script by which a shell completes verbs and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

VARIABLE = "_CSP_COMPLETE"  # click's: by it the script asks the program for words


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print the completion script of a shell.

    \b
    bash: source <(csp completion bash)
    zsh:  source <(csp completion zsh)
    fish: csp completion fish | source
    """
    kind = get_completion_class(shell)
    context = click.get_current_context().find_root()
    assert kind is not None
    click.echo(kind(context.command, {}, context.info_name or "csp", VARIABLE).source())
