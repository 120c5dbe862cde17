"""CFG.STATUS, CFG.METRICS, CFG.CLASSES: how this server stands."""

from __future__ import annotations

from csp.model.keys import SHOWN
from csp.model.types import CLASSES
from csp.observe.clock import wall_ms
from csp.process import drain
from csp.process.roles import SUPERVISOR, SUPERVISOR_SLOT, processes
from csp.process.standing import NO_PAIR
from csp.process.standing import shown as standing_shown
from csp.resp.values import Value
from csp.store import segment
from csp.store.alarms import Raised, raised
from csp.store.control import (
    LINK_DATABASE,
    LINK_DOWN,
    LINK_NAMES,
    link_now,
)
from csp.tables.metrics import of_process
from csp.tls.files import InForce
from csp.worker.call import Call, Handler
from csp.worker.cluster import shown_as
from csp.worker.own_ports import narrowed_now, shown


def status_of(call: Call) -> dict[str, int | str]:
    """The figures of CFG.STATUS but the alarms, which INFO shows too."""
    lane = call.lane
    control, info = lane.control, lane.info
    loading = lane.loading
    link, master_revision, heard_ms = link_now(control)
    if link == LINK_DATABASE and info.mode == "proxy":
        link = LINK_DOWN  # nothing was heard of the master yet
    revision = 0 if loading else lane.reader.revision
    if link == LINK_DATABASE:
        master_revision, age_ms = revision, 0
    else:
        age_ms = max(0, wall_ms() - heard_ms) if heard_ms else -1
    standing, as_told = standing_shown(control), shown_as(lane)
    return {
        "role": lane.role,
        "peer": standing.peer,
        "peer_state": standing.peer_state,
        "peer_address": standing.peer_address,
        "pair_number": standing.number,
        "serving": int(control.serving),
        "seamless": int(bool(standing.peer) and not standing.why_not),
        "seamless_why": standing.why_not if standing.peer else NO_PAIR,
        "mode": info.mode,
        "master": info.upstream,
        "writable": int(lane.takes_writes),
        "application": as_told.name,
        "application_dbid": as_told.dbid,
        "member": info.app_name if as_told.is_pool and call.session.administrator else "",
        "release": info.release,
        "state": "loading" if loading else "ready",
        "draining": int(drain.is_draining(control)),
        "link": LINK_NAMES[link],
        "stream": "" if loading else lane.reader.stream.hex(),
        "revision": revision,
        "mark": "" if loading else f"{lane.reader.mark:016x}",
        "master_revision": master_revision,
        "age": age_ms,
        "lag": max(0, master_revision - revision),
        "objects": 0 if loading else objects(call),
        "workers": info.worker_count,
        "sessions": gauge(call, "connections"),
        "generation": control.generation,
        "bytes": stored_bytes(call),
        "restarts": restarts(call),
        "uptime": max(0, wall_ms() - info.started_ms),
        "instance": info.instance,
        "ports": "; ".join(shown(one) for one in info.ports),
    }


def gauge(call: Call, name: str) -> int:
    """A figure of all workers together, without a look at a single connection."""
    lane = call.lane
    return sum(lane.control.slot_counters(slot)[name] for slot in range(lane.info.worker_count))


def restarts(call: Call) -> int:
    """How often a process of this server ended unasked and was started again."""
    return sum(row_of(call, SUPERVISOR, SUPERVISOR_SLOT).values())


def row_of(call: Call, process: str, slot: int) -> dict[str, int]:
    """What one process has counted, by name."""
    counted = call.lane.control.slot_counters(slot)
    return {one.name: counted[one.name] for one in of_process(process)}


def metrics(call: Call) -> bytes:
    """CFG.METRICS: the counters of each process of this server that has some."""
    mode, worker_count = call.lane.info.mode, call.lane.info.worker_count
    places = [one for one in processes(mode, worker_count) if of_process(one[0].name)]
    places.sort(key=lambda place: not place[0].serves_clients)  # workers first: they are looked for
    counted = {role.name_of(slot): row_of(call, role.name, slot) for role, slot in places}
    counted[SUPERVISOR] = row_of(call, SUPERVISOR, SUPERVISOR_SLOT)
    found: dict[Value, Value] = {}
    for name, numbers in counted.items():
        row: dict[Value, Value] = {}
        row.update(numbers)
        found[name] = row
    return call.encode(found)


def objects(call: Call) -> int:
    """Readable objects of all classes."""
    reader = call.reader
    return sum(reader.count(known.id) for known in CLASSES.values())


def stored_bytes(call: Call) -> int:
    """Memory that the data segment in force takes."""
    lane = call.lane
    try:
        return segment.sizes(lane.info.instance, lane.control.generation)[1]
    except FileNotFoundError:
        return 0  # not made yet, or replaced in this moment


def status(call: Call) -> bytes:
    """CFG.STATUS"""
    values: dict[Value, Value] = {}
    values.update(status_of(call))
    # It names applications: for administrators, as the words of alarms are.
    is_told = call.session.administrator and not call.lane.loading
    values["narrowed"] = narrowed_now(call.lane) if is_told else ""
    values["certificates"] = [_certificate(*one, call) for one in call.lane.bundles.shown.items()]
    values["alarms"] = [_shown(one, call) for one in raised(call.lane.control)]
    return call.encode(values)


def _certificate(port: int, one: InForce, call: Call) -> Value:
    """What an encrypted port shows, and until when; times in milliseconds UTC, 0: no end."""
    return {
        "port": call.lane.info.ports[port].id,
        "number": one.number,
        "subject": one.facts.subject,
        "until": one.facts.until_ms,
        "crl_until": one.facts.crl_until_ms,
    }


def _shown(one: Raised, call: Call) -> Value:
    """An alarm as a map; in RESP2 a flat array.

    Its words name users, addresses and applications: they are for administrators, and for
    everybody before the first load, when nobody can sign in and there are no users to name.
    """
    alarm = one.alarm
    is_told = call.session.administrator or call.lane.loading
    return {
        "number": alarm.raised,
        "name": alarm.name,
        "since": one.since_ms,
        "text": one.text if is_told else "",
        "todo": alarm.todo,
    }


def classes(call: Call) -> bytes:
    """CFG.CLASSES: attributes, filter keys and count of each class."""
    reader = call.reader
    found: dict[Value, Value] = {}
    for known in CLASSES.values():
        filters: list[Value] = [name for owner, name in SHOWN if owner == known.name]
        attributes: list[Value] = [one.name for one in known.attributes if not one.secret]
        found[known.name] = {
            "id": known.id,
            "attributes": attributes,
            "filters": filters,
            "count": reader.count(known.id),
        }
    return call.encode(found)


HANDLERS: dict[str, Handler] = {
    "cfg.status": status,
    "cfg.metrics": metrics,
    "cfg.classes": classes,
}
