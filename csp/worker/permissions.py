"""CFG.PERMISSIONS and CFG.ACCESS: the access list of an object, and why somebody may what he may.

1. An access list is shown to who has Read Permissions on its object; of an object that he may not
   read it says what it says of one that is not there.
2. Accounts are shown by their keys alone; a container that he may not read has none.
3. CFG.ACCESS shows everything that decides, and is for administrators.
"""

from __future__ import annotations

import orjson

from csp.errors import BadKey, BadValue, NoPerm
from csp.model.places import Place
from csp.model.rights import PERSON, READ_PERMISSIONS, account_key, words_of
from csp.model.symbolic import key_of, parse_key
from csp.process.access import explained, permissions
from csp.process.application import APPLICATION, dbid_of
from csp.resp.encode import bulk
from csp.worker.call import Call, Handler
from csp.worker.refusal import text_of
from csp.worker.scoped import check_whole

DEFAULT_APPLICATION = "default"  # whose rights data commands need until CFG.REGISTER


def show_permissions(call: Call) -> bytes:
    """CFG.PERMISSIONS key"""
    reader = call.lane.reader
    place = _place(call.args[1])
    if not call.reader.revision_of(*place):
        raise BadKey(f"there is no {key_of(place)}")
    if not call.lane.loop.rights_on(call.conn, *place) & READ_PERMISSIONS:
        raise NoPerm(f"Read Permissions (RP) is needed on {key_of(place)}")
    own, inherited = permissions(reader, place)
    return call.encode(
        [
            reader.revision,
            [[account_key(account), words_of(grant)] for account, grant in sorted(own.items())],
            [
                [account_key(one.account), words_of(one.grant), _shown(call, one.at)]
                for one in inherited
            ],
        ]
    )


def access(call: Call) -> bytes:
    """CFG.ACCESS user key"""
    check_whole(call)
    reader = call.lane.reader
    user, place = text_of(call.args[1]), _place(call.args[2])
    person = dbid_of(call.reader, PERSON.name, "user_name", user)
    if not person:
        raise BadValue(f"there is no user {user!r}")
    if reader.raw_get(*place) is None:
        raise BadKey(f"there is no {key_of(place)}")
    found = {"user": user} | explained(reader, person, place)
    # Reading needs Read and Execute on the Application that a connection serves.
    application = dbid_of(reader, APPLICATION.name, "name", DEFAULT_APPLICATION)
    if application:
        rights = reader.raw_rights(APPLICATION.id, application, reader.accounts_of(person))
        found["default application"] = words_of(rights)
    return bulk(orjson.dumps(found))


def _place(text: bytes) -> Place:
    cls, dbid = parse_key(text_of(text))
    return cls.id, dbid


def _shown(call: Call, place: Place) -> str:
    """The key of a container; empty where the asker may not read it."""
    return key_of(place) if call.reader.revision_of(*place) else ""


HANDLERS: dict[str, Handler] = {"cfg.permissions": show_permissions, "cfg.access": access}
