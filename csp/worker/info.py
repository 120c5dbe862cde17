"""INFO: the text that monitoring and client libraries read, sections as in Redis, and `# Csp`."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Mapping

import psutil

from csp.observe.clock import wall_ms
from csp.process.roles import AUTH, WRITER
from csp.resp.values import Verbatim
from csp.store.alarms import raised
from csp.tables.metrics import NAMES
from csp.worker.call import Call, Handler
from csp.worker.halves import Half, is_followed, replicas, serving_address
from csp.worker.server_info import MODULE_VERSION, REDIS_VERSION
from csp.worker.status import gauge, status_of

Rows = dict[str, object]
SCRUBBER = ("scrubbed", "scrubs", "damaged")


def server(call: Call) -> Rows:
    """Who this is."""
    info = call.lane.info
    uptime = max(0, wall_ms() - info.started_ms) // 1000
    return {
        "redis_version": REDIS_VERSION,
        "redis_git_sha1": "00000000",
        "redis_git_dirty": 0,
        "redis_build_id": info.release,
        "redis_mode": "standalone",
        "os": f"{platform.system()} {platform.release()} {platform.machine()}",
        "arch_bits": 64,
        "multiplexing_api": "epoll",
        "process_id": os.getpid(),
        "run_id": run_id(info.instance, info.started_ms),
        "tcp_port": info.port,
        "server_time_usec": time.time_ns() // 1000,
        "uptime_in_seconds": uptime,
        "uptime_in_days": uptime // 86_400,
        "executable": "",
        "config_file": "",
    }


def run_id(instance: str, started_ms: int) -> str:
    """40 characters that change with each start, as Redis has them."""
    from hashlib import blake2b

    return blake2b(f"{instance} {started_ms}".encode(), digest_size=20).hexdigest()


def clients(call: Call) -> Rows:
    """Who is connected, counted: a thousand clients that come back ask for this at once."""
    return {
        "connected_clients": gauge(call, "connections"),
        "cluster_connections": 0,
        "maxclients": call.lane.info.clients_max,
        "blocked_clients": len(call.lane.publications),
        "tracking_clients": gauge(call, "tracking_clients"),
        "pubsub_clients": gauge(call, "subscribers"),
    }


def memory(call: Call) -> Rows:
    """What this process and the store take."""
    used = int(psutil.Process().memory_info().rss)
    store = int(status_of(call)["bytes"])
    return {
        "used_memory": used + store,
        "used_memory_human": f"{(used + store) / 2**20:.2f}M",
        "used_memory_rss": used,
        "used_memory_dataset": store,
        "maxmemory": 0,
        "maxmemory_human": "0B",
        "maxmemory_policy": "noeviction",
        "mem_fragmentation_ratio": "1.00",
        "mem_allocator": "libc",
    }


def persistence(call: Call) -> Rows:
    """Whether the first load is done; ioredis waits for loading:0."""
    loading = call.lane.loading
    rows: Rows = {"loading": int(loading), "async_loading": 0}
    if loading:
        rows |= {"loading_start_time": call.lane.info.started_ms // 1000, "loading_eta_seconds": 1}
    return rows | {"rdb_changes_since_last_save": 0, "rdb_bgsave_in_progress": 0, "aof_enabled": 0}


def stats(call: Call) -> Rows:
    """Counters of all workers."""
    lane = call.lane
    rows = [lane.control.slot_counters(slot) for slot in range(lane.info.worker_count)]
    sums = {name: sum(row[name] for row in rows) for name in NAMES}
    return {
        "total_connections_received": sums["accepted"],
        "total_commands_processed": sums["commands"],
        "total_net_input_bytes": sums["bytes_in"],
        "total_net_output_bytes": sums["bytes_out"],
        "rejected_connections": sums["rejected"],
        "keyspace_hits": sums["hits"],
        "keyspace_misses": sums["misses"],
        "acl_access_denied_auth": lane.control.slot_counters(AUTH.slot)["refused"],
        "acl_access_denied_tls_cert": lane.control.slot_counters(AUTH.slot)["certificates_refused"],
        "expired_keys": 0,
        "evicted_keys": 0,
        "pubsub_channels": 0,
        "pubsub_patterns": 0,
        "tracking_total_keys": sums["tracked_keys"],
        "tracking_total_items": sums["tracked_keys"],
        "tracking_total_prefixes": sums["tracking_prefixes"],
    }


def replication(call: Call) -> Rows:
    """Master is who serves, a proxy too; who stands by in a pair is a replica of who does."""
    lane = call.lane
    status = status_of(call)
    standing_by = replicas(call)
    rows: Rows = {"role": "master"}
    if lane.is_replica:
        host, port = serving_address(call)
        rows = {
            "role": "slave",
            "master_host": host,
            "master_port": port,
            "master_link_status": "up" if is_followed(lane) else "down",
            "master_last_io_seconds_ago": max(0, int(status["age"])) // 1000,
            "master_sync_in_progress": int(lane.loading),
            "slave_priority": 100,
        }
    return rows | {
        "slave_read_only": int(not lane.takes_writes),
        "connected_slaves": len(standing_by),
        **{f"slave{at}": _replica(one, status) for at, one in enumerate(standing_by)},
        "master_failover_state": "no-failover",
        "master_replid": status["stream"] or "0" * 32,
        "master_repl_offset": status["revision"],
    }


def _replica(one: Half, status: Mapping[str, object]) -> str:
    """Who stands by, as Redis shows a replica; it is ready once it has all that is here."""
    state = "online" if one.is_ready else "wait_bgsave"
    offset = status["revision"] if one.is_ready else 0
    return f"ip={one.host},port={one.port},state={state},offset={offset},lag=0"


def cpu(_: Call) -> Rows:
    """Of this process."""
    times = os.times()
    return {"used_cpu_sys": f"{times.system:.6f}", "used_cpu_user": f"{times.user:.6f}"}


def modules(call: Call) -> Rows:
    """csp shows itself as a module."""
    return {"module": f"name=csp,ver={MODULE_VERSION},release={call.lane.info.release}"}


def cluster(_: Call) -> Rows:
    """No cluster."""
    return {"cluster_enabled": 0}


def keyspace(call: Call) -> Rows:
    """One database."""
    count = status_of(call)["objects"]
    return {"db0": f"keys={count},expires=0,avg_ttl=0"} if count else {}


def csp(call: Call) -> Rows:
    """What CFG.STATUS says, and how the check of the store in the background stands."""
    control = call.lane.control
    counters = control.slot_counters(WRITER.slot)
    checks: Rows = {name: counters[name] for name in SCRUBBER}
    status: Rows = dict(status_of(call))
    names = ", ".join(f"{one.alarm.raised} {one.alarm.name}" for one in raised(control))
    status["alarms"] = names
    # Redis has a `role` of its own in another section, and clients put all sections into one map.
    return {"csp_role": status.pop("role")} | status | checks


SECTIONS: dict[str, Callable[[Call], Rows]] = {
    "server": server,
    "clients": clients,
    "memory": memory,
    "persistence": persistence,
    "stats": stats,
    "replication": replication,
    "cpu": cpu,
    "modules": modules,
    "cluster": cluster,
    "keyspace": keyspace,
    "csp": csp,
}
_ALL = ("all", "default", "everything")


def info(call: Call) -> bytes:
    """INFO [section…]"""
    asked = {arg.decode("utf-8", "replace").lower() for arg in call.args[1:]}
    everything = not asked or any(word in asked for word in _ALL)
    blocks = []
    for name, rows in SECTIONS.items():
        if everything or name in asked:
            lines = [f"# {name.title() if name != 'cpu' else 'CPU'}"]
            lines += [f"{key}:{value}" for key, value in rows(call).items()]
            blocks.append("\r\n".join(lines) + "\r\n")
    text = "\r\n".join(blocks).encode()
    return call.encode(Verbatim("txt", text))


HANDLERS: dict[str, Handler] = {"info": info}
