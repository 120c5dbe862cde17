"""Names what a server asks of the one above it on behalf of its clients, as it goes over the link.

    CFG.FORWARD number MORE|END piece     number: the asker's, of none under way
    forwarded number DONE part…           a push, when it is decided, in whatever order
    forwarded number FAIL line

The pieces together are an array of strings:

    WRITE who write-id "one" word…        who: a principal's JSON (csp/model/principal.py)
    WRITE who write-id "exec" command…    each an array of strings itself
    OUTCOME who write-id
    HEAD
    HISTORY question
    SESSIONS records                      a batch (csp/model/sessions.py): DONE
    ACCOUNTS notes                        a batch (csp/model/account_notes.py): DONE
    SESSIONLOG question                   DONE following record…
    TICKET digest                         a Kerberos ticket's: DONE 1 where nobody has used it
    PAIR pair number active               who of a pair is to serve: DONE revision
    ENTRIES revision                      the log from there on: DONE oldest entry…
"""

from __future__ import annotations

MORE, END = b"MORE", b"END"
FORWARDED = b"forwarded"
DONE, FAIL = b"DONE", b"FAIL"
WRITE, OUTCOME, HEAD, HISTORY = b"WRITE", b"OUTCOME", b"HEAD", b"HISTORY"
ENTRIES = b"ENTRIES"
SESSIONS, SESSIONLOG, ACCOUNTS = b"SESSIONS", b"SESSIONLOG", b"ACCOUNTS"
TICKET = b"TICKET"
PAIR = b"PAIR"

PIECE_BYTES = 64 * 1024  # what is larger goes in pieces, between which others go
# What one link may have under way: the asker keeps to it, and who is asked refuses more.
QUESTIONS_MAX = 4_096
QUESTIONS_BYTES_MAX = 256 * 1024 * 1024
