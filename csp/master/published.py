"""Offers the published state to a transaction: objects as stored, referrers as the database has.

Which objects have grants of their own is seen at their records; what these are is asked of the
database once, and kept while it does not change: folders' above all, on the way to every object.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from csp.master.database import Database
from csp.master.memberships import AccessGroups, Listed
from csp.model.extract import Object as JsonObject
from csp.model.grants import has_own_grants
from csp.model.image import object_of
from csp.model.rights import Account
from csp.model.types import CLASSES
from csp.process.origin import StoreForOrigin
from csp.rules.complete import ACCESS_GROUP, FOLDER, TENANT
from csp.rules.references import Key
from csp.rules.transaction import NO_GRANTS, Kept

KEPT_MAX: Final = 10_000  # objects whose grants are remembered


class HostView:
    """What the host has published, with the few things the database knows better."""

    def __init__(self, host: StoreForOrigin, database: Database) -> None:
        self.host = host
        self.database = database
        # (tenant, type word) -> the folder that lies in no other; kept up by `folder_changed`.
        self.root_folders: dict[tuple[int, str], int] = {}
        self._kept: dict[Key, Kept] = {}
        self.access_groups = AccessGroups()  # kept up likewise
        self.listed = Listed(lambda member: database.groups_listing(*member))

    def get(self, class_id: int, dbid: int) -> JsonObject | None:
        image = self.host.image(class_id, dbid)
        return None if image is None else object_of(image)

    def exists(self, class_id: int, dbid: int) -> bool:
        return self.host.image(class_id, dbid) is not None

    def referrers(
        self, class_id: int, dbid: int, most: int, classes: Sequence[int] = ()
    ) -> list[Key]:
        return self.database.referrers(class_id, dbid, most, classes)

    def needers(self, class_id: int, dbid: int, most: int) -> list[tuple[Key, str]]:
        return self.database.needers(class_id, dbid, most)

    def default_folder(self, tenant: int, word: str) -> int | None:
        return self.root_folders.get((tenant, word))

    def account_revision(self, dbid: int) -> int:
        record = self.database.account(CLASSES["CfgPerson"].id, dbid)
        return 0 if record is None else record.credential

    def kept_grants(self, class_id: int, dbid: int) -> Kept:
        image = self.host.image(class_id, dbid)
        if image is None or not (has_own_grants(image) or class_id == TENANT.id):
            return NO_GRANTS
        kept = self._kept.get((class_id, dbid))
        if kept is None:
            if len(self._kept) >= KEPT_MAX:
                self._kept.clear()
            kept = self._kept[class_id, dbid] = self.database.kept_grants(class_id, dbid)
        return kept

    def granted_to(self, account: Account, most: int) -> list[Key]:
        return self.database.granted_to(account, most)

    def note_grants(self, key: Key) -> None:
        """Hears that the grants of an object's own have changed."""
        self._kept.pop(key, None)

    def note(self, class_id: int, dbid: int, obj: JsonObject | None) -> None:
        """Hears of an object that was loaded or changed; folders and access groups matter here."""
        if class_id == FOLDER.id:
            note_folder(self.root_folders, dbid, obj)
        elif class_id == ACCESS_GROUP.id:
            self.access_groups.note(dbid, obj)
            self.listed.forget()


def note_folder(
    root_folders: dict[tuple[int, str], int], dbid: int, obj: JsonObject | None
) -> None:
    """Brings the default folders up to date with one folder as it is now; None: it is gone."""
    if obj is None:
        for key in [key for key, root in root_folders.items() if root == dbid]:
            del root_folders[key]
    elif obj.get("folderDBID") or obj["type"] == "folder":
        return  # sites and configuration units are nobody's default folder
    elif obj["ownerID"]["type"] == "tenant":
        root_folders[obj["ownerID"]["DBID"], obj["type"]] = dbid
