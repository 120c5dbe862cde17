"""Takes the first frame of a feed: refuses what can't be followed, warns of what differs."""

from __future__ import annotations

from csp import __version__
from csp.feed.frames import read_frame
from csp.feed.reports import Reports
from csp.feed.resume import warnings_about, why_refuse
from csp.model.feed import GREETING, FeedError, Greeting, read_greeting
from csp.model.keys import TABLE_DIGEST
from csp.resp import Value


def take_greeting(value: Value, reports: Reports) -> Greeting:
    """The greeting; raises FeedError for another frame and for a master that is too old."""
    kind, frame = read_frame(value)
    if kind != GREETING or len(frame) != 1:
        raise FeedError(f"the feed begins with {kind[:32]!r} instead of a greeting")
    greeting = read_greeting(frame[0])
    why = why_refuse(greeting)
    if why is not None:
        raise FeedError(why)
    reports.warnings(warnings_about(greeting, __version__, TABLE_DIGEST))
    return greeting
