"""Runs the command line: `python -m csp`, and the program `csp`."""

import sys


def run() -> None:
    """Ends with the exit code; Ctrl-C while Python still loads modules is no traceback either."""
    try:
        from csp.cli.main import main

        main(prog_name="csp")
    except KeyboardInterrupt:
        sys.stderr.write("csp: interrupted\n")
        sys.exit(130)


if __name__ == "__main__":
    run()
