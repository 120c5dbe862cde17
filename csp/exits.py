"""The exit codes of csp's programs; bin/confserv has the original's, and says so itself."""

from __future__ import annotations

EXIT_DONE = 0
EXIT_NOT_FOUND = 1  # nothing of that name, a difference, damage
EXIT_USAGE = 2  # the command line, or the object that it names, is wrong: trying again helps nobody
EXIT_NO_CONNECTION = 3  # the other end, or the port, is not there: trying again may help
EXIT_REFUSED = 4  # the other end says no
EXIT_ALARM = 5  # the server has an alarm raised (csp status)
EXIT_LIMITS = 6  # this machine has too little of something: files, memory, address space
EXIT_INTERRUPTED = 130  # by Ctrl-C, as shells say it
EXIT_FAULT = 70  # an exception nobody expected; the log has it
