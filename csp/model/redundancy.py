"""Reads from Application objects who is single, who a pair's primary and who its backup.

Pure: what is asked of the configuration is handed in. Attributes and words are those of CfgServer
and CfgApplication as they are published: `redundancyType`, `isPrimary`, `backupServerDBID`.

1. A pair is a configuration server whose `redundancyType` is htwarmstanby and the one that it names
   as its backup; the one that names the other is the configured primary.
2. Where two readings are possible there is no pair: both are single, and an alarm says why.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

SERVER_TYPE: Final = "configurationserver"  # CfgAppType of masters and proxies alike
WARM_STANDBY: Final = "htwarmstanby"  # CfgHAType of a pair, as it is published
BACKUP: Final = "backupServerDBID"
BACKUP_PATH: Final = f"serverInfo.{BACKUP}"
MASTER_DBID: Final = 99  # the built-in Application of a master
CLUSTER: Final = ("csproxy", "proxy-cluster-name")  # section and option of a member of a pool

Application = Mapping[str, Any]
Get = Callable[[int], "Application | None"]  # an Application by its DBID
NamedBy = Callable[[int], "Sequence[Application]"]  # those whose backup a DBID is


@dataclass(frozen=True)
class Pair:
    """The two Applications of a pair, as the configuration has them."""

    primary: Application
    backup: Application
    hosts: tuple[str, str] = ("", "")  # the names of those that they run on; empty: not known

    @property
    def dbid(self) -> int:
        """Which pair it is: the DBID of its configured primary."""
        return int(self.primary["DBID"])

    def peer_of(self, dbid: int) -> Application:
        """The other one."""
        return self.backup if dbid == self.dbid else self.primary

    def host_of(self, dbid: int) -> str:
        """The name of the Host that one of them runs on; empty where it is not known."""
        return self.hosts[0 if dbid == self.dbid else 1]

    def has(self, dbid: int) -> bool:
        """Whether that Application is one of the two."""
        return dbid in (int(self.primary["DBID"]), int(self.backup["DBID"]))


class Problem(NamedTuple):
    """What of an Application fits no server, pair or pool; `text` names another one as `{}`."""

    attribute: str
    value: object
    text: str
    other: int = 0  # the DBID of that one
    parts_pair: bool = True  # there is no pair as long as it stands

    def told(self, name_of: Callable[[int], str]) -> str:
        """In words: attribute, value, rule."""
        return f"{self.attribute} {self.value!r}: {self.text.format(name_of(self.other))}"


def backup_dbid_of(application: Application) -> int:
    """The DBID of its backup; 0 where it has none, which is nobody's DBID."""
    return int((application.get("serverInfo") or {}).get(BACKUP) or 0)


def cluster_of(application: Application) -> str:
    """The name of the pool's Application whose member it is; empty: of none."""
    section, option = CLUSTER
    sections = application.get("options")
    options = sections.get(section) if isinstance(sections, Mapping) else None
    return str((options.get(option) if isinstance(options, Mapping) else "") or "")


def is_server(application: Application | None) -> bool:
    """Whether it is of a configuration server, master or proxy."""
    return application is not None and application.get("type") == SERVER_TYPE


def pair_of(own: Application, get: Get, named_by: NamedBy) -> Pair | None:
    """The pair to which an Application belongs; None: it is a single server, or no server."""
    dbid = int(own["DBID"])
    named = [one for one in named_by(dbid) if is_server(one)]
    primary = own if backup_dbid_of(own) else next(iter(named), None)
    if not is_server(own) or primary is None:
        return None
    backup = get(backup_dbid_of(primary))
    if backup is None or any(one.parts_pair for one in problems_of(primary, get, named_by)):
        return None
    if any(one.parts_pair for one in problems_of(backup, get, named_by)):
        return None
    return Pair(primary, backup)


def problems_of(own: Application, get: Get, named_by: NamedBy) -> list[Problem]:
    """What of a configuration server's redundancy fits nothing; none of an Application of another
    type, but that its backup is a configuration server.
    """
    dbid, named = int(own["DBID"]), list(named_by(int(own["DBID"])))
    backup_dbid = backup_dbid_of(own)
    found: list[Problem] = []
    if backup_dbid:
        found += _as_primary(own, backup_dbid, get, named_by)
    if is_server(own):
        found += _alone(own, is_backup=any(is_server(one) for one in named))
    for primary in named:
        if int(primary["DBID"]) != dbid:  # that is told above
            found += _as_backup(own, primary, len(named))
    return found


def _alone(own: Application, *, is_backup: bool) -> Iterator[Problem]:
    """What the Application itself says."""
    kind, has_backup = own.get("redundancyType"), bool(backup_dbid_of(own))
    if kind == WARM_STANDBY and not (has_backup or is_backup):
        yield Problem(
            "redundancyType", kind, f"a pair needs a backup: state {BACKUP_PATH} in the same change"
        )
    if cluster_of(own) and (has_backup or is_backup):
        yield Problem(
            f"options.{'.'.join(CLUSTER)}", cluster_of(own),
            "a member of a pool has no backup, and is nobody's backup"
        )  # fmt: skip
    if has_backup and own.get("isPrimary") is False:
        yield Problem(
            "isPrimary", False, "who has a backup is the primary of the pair", parts_pair=False
        )


def _as_primary(own: Application, dbid: int, get: Get, named_by: NamedBy) -> Iterator[Problem]:
    """What a server says of its backup."""
    backup = get(dbid)

    def wrong(text: str, *, parts_pair: bool = True) -> Problem:
        return Problem(BACKUP_PATH, dbid, text, dbid, parts_pair)

    if dbid == int(own["DBID"]):
        yield wrong("an application is not its own backup")
        return
    if backup is None:
        if is_server(own):
            yield wrong("there is no such application")
        return
    if is_server(own) != is_server(backup):
        yield wrong(f"{{}} is of type {backup.get('type')}, not {own.get('type')}")
        return
    if not is_server(own):
        return
    kind = own.get("redundancyType")
    if kind != WARM_STANDBY:
        yield Problem("redundancyType", kind, f"who has a backup is {WARM_STANDBY}")
    if backup.get("isServer") is not True:
        yield wrong("{} is no server: its isServer is not true")
    if dbid == MASTER_DBID or dbid in follows(own):
        yield wrong("{} is the server that it follows: that is no proxy of the same kind")
    if backup_dbid_of(backup):
        yield wrong("{} has a backup itself")
    if backup.get("isPrimary") is True:
        yield wrong("the isPrimary of {} is true: there would be two primaries", parts_pair=False)
    for other in named_by(dbid):
        if int(other["DBID"]) not in (int(own["DBID"]), dbid):
            text = f"CfgApplication:{dbid} is the backup of {{}} already: it serves one primary"
            yield Problem(BACKUP_PATH, dbid, text, int(other["DBID"]))


def _as_backup(own: Application, primary: Application, primaries: int) -> Iterator[Problem]:
    """What a server says that is the backup of another one."""
    dbid = int(primary["DBID"])

    def wrong(attribute: str, text: str, *, parts_pair: bool = True) -> Problem:
        value = own.get(attribute) if "." not in attribute else backup_dbid_of(own)
        return Problem(attribute, value, text, dbid, parts_pair)

    if is_server(own) != is_server(primary):
        yield wrong("type", f"it is the backup of {{}}, which is of type {primary.get('type')}")
        return
    if not is_server(own):
        return
    if own.get("isServer") is not True:
        yield wrong("isServer", "it is the backup of {}, and has to be a server")
    if backup_dbid_of(own):
        yield wrong(BACKUP_PATH, "it is the backup of {}, and has none itself")
    if own.get("isPrimary") is True:
        text = "it is the backup of {}: there would be two primaries"
        yield wrong("isPrimary", text, parts_pair=False)
    if primaries > 1:
        yield wrong("DBID", "it is the backup of {} and of others: a backup serves one primary")


def follows(own: Application) -> set[int]:
    """The DBIDs of the servers that its connections lead to."""
    return {int(one.get("appServerDBID") or 0) for one in own.get("appServerDBIDs") or ()}
