"""Lets in by a port whom it is for: people's programs, the peer of a pair, administrators.

1. It is asked before somebody is signed in, and before an application gets a place: what is refused
   here has changed nothing.
2. Who comes by a port for the peer may do nothing before it has registered as it: the loop refuses
   the rest (csp/_fastpath/loop/refuse.pxi) while the session is `peer_first`.
3. Who is the peer, the Application objects say: this server's backup, or the server whose backup
   it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from csp.errors import Loading, NoPerm
from csp.model.redundancy import backup_dbid_of, is_server
from csp.process.ports import Purpose
from csp.worker.call import Call, Lane
from csp.worker.ports import Session


def purpose_of(lane: Lane, session: Session) -> Purpose:
    """What the port is for by which a session came."""
    return lane.info.port_of(session.port).purpose


def is_for_discovery(call: Call) -> bool:
    """Whether it came by a port where clients ask where to go."""
    return purpose_of(call.lane, call.session) is Purpose.SENTINEL


def check_account(call: Call, account_dbid: int) -> None:
    """Raises NoPerm where the account may not sign in by the port, and Loading where the port is
    about to demand more; a session stays as it was.
    """
    session = call.session
    if call.lane.awaits_ports:
        raise Loading()
    if purpose_of(call.lane, session) is not Purpose.MANAGEMENT:
        return
    before, session.account_dbid = session.account_dbid, account_dbid
    may_sign_in = session.administrator
    session.account_dbid = before
    if not may_sign_in:
        raise NoPerm("this port is for administrators alone: use the port `default`")


def check_application(call: Call, application: Mapping[str, Any]) -> None:
    """Raises NoPerm where who serves this Application may not come by the port."""
    purpose = purpose_of(call.lane, call.session)
    name = application["name"]
    if purpose is Purpose.USER_INTERFACE and application.get("isServer") is True:
        raise NoPerm(
            f"this port is for user interfaces, and {name} is a server: use the port `default`"
        )
    if purpose is Purpose.HA_SYNC and not is_peer(call.lane, application):
        raise NoPerm(
            f"this port is for the peer of this server, and {name} is neither its backup nor the "
            f"server whose backup it is: use the port `default`"
        )


def is_peer(lane: Lane, application: Mapping[str, Any]) -> bool:
    """Whether it is the other one of the pair to which this server belongs."""
    own = lane.applications.named(lane.reader, lane.info.app_name)
    if own is None or not is_server(application):
        return False
    dbid, own_dbid = int(application["DBID"]), int(own["DBID"])
    return backup_dbid_of(own) == dbid or backup_dbid_of(application) == own_dbid
