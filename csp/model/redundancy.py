"""Reads from Application objects who is single, who a pair's primary and who its backup.

Pure: what is asked of the configuration is handed in. Attributes and words are those of CfgServer
and CfgApplication as they are published: `redundancyType`, `isPrimary`, `backupServerDBID`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

SERVER_TYPE: Final = "configurationserver"  # CfgAppType of masters and proxies alike
WARM_STANDBY: Final = "htwarmstanby"  # CfgHAType of a pair, as it is published
BACKUP: Final = "backupServerDBID"

Application = Mapping[str, Any]


@dataclass(frozen=True)
class Pair:
    """The two Applications of a pair, as the configuration has them."""

    primary: Application
    backup: Application

    @property
    def dbid(self) -> int:
        """Which pair it is: the DBID of its configured primary."""
        return int(self.primary["DBID"])

    def peer_of(self, dbid: int) -> Application:
        """The other one."""
        return self.backup if dbid == self.dbid else self.primary

    def has(self, dbid: int) -> bool:
        """Whether that Application is one of the two."""
        return dbid in (int(self.primary["DBID"]), int(self.backup["DBID"]))


def backup_dbid_of(application: Application) -> int:
    """The DBID of its backup; 0 where it has none, which is nobody's DBID."""
    return int((application.get("serverInfo") or {}).get(BACKUP) or 0)
