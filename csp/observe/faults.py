"""Makes of an exception that nobody foresaw an event with its trace, and an answer in words.

1. The trace names places in the program only: what an exception of the database says may hold the
   values of a statement, so its text is left out.
"""

from __future__ import annotations

import logging
import traceback

from csp.errors import CspError
from csp.observe.events import log_event

FRAMES_MAX = 12  # the innermost ones tell
TEXT_MAX = 200


def told_fault(log: logging.Logger, doing: str, error: Exception, *, says: str = "") -> CspError:
    """Logs the fault; the error that who asked is told.  `says` stands for the exception's text."""
    kind = type(error).__name__
    reason = says or f"{kind}: {error}"[:TEXT_MAX]
    frames = traceback.extract_tb(error.__traceback__)[-FRAMES_MAX:]
    trace = " < ".join(
        f"{'/'.join(frame.filename.split('/')[-2:])}:{frame.lineno} {frame.name}"
        for frame in reversed(frames)
    )
    log_event(log, "51350", doing=doing, reason=reason, trace=trace)
    return CspError(f"internal error ({kind}): nothing was changed; the log has event 51350")
