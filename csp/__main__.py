"""Runs the command line: `python -m csp`."""

from csp.cli.main import main

main(prog_name="csp")
