"""The account record of a person: what only servers carry of him, never sent to a client."""

from __future__ import annotations

import orjson

from csp.model.extract import Object
from csp.model.image import assemble_inner
from csp.model.places import NOWHERE
from csp.model.types import ACCOUNT_CLASS_ID


def build_account_image(dbid: int, account: Object, revision: int) -> bytes:
    """Its record image: {user, dbid, algorithm, hash, revision, …}."""
    json = orjson.dumps({"user": "", "dbid": dbid, **account, "revision": revision})
    reply = b"$%d\r\n%b\r\n" % (len(json), json)
    return assemble_inner(ACCOUNT_CLASS_ID, dbid, revision, NOWHERE, reply, b"")
