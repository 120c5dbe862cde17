"""Offers the state that the first changes of a group will leave, over the published one.

1. Nothing here changes the database or the store; dropping an overlay undoes it.
2. What a change of the group touched is told from here, all else by the published state.
3. An object is told as it will be stored, with the revision that it will have.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from csp.master.build import Built
from csp.master.memberships import AccessGroups, lists
from csp.master.published import HostView, note_folder
from csp.model.accounts import AccountRecord, record_of
from csp.model.extract import Object as JsonObject
from csp.model.image import object_of, parse_header
from csp.model.places import NOWHERE, Place
from csp.model.rights import Account, Grants
from csp.model.types import CLASSES, by_id
from csp.rules.complete import ACCESS_GROUP, FOLDER
from csp.rules.names import UniqueName, names_of
from csp.rules.references import Key, references_to, targets_of
from csp.rules.transaction import NO_GRANTS, Kept, Transaction

PERSON_ID = CLASSES["CfgPerson"].id


class Overlay:
    """What the next transaction of a group is put on top of (see transaction.Published)."""

    def __init__(self, view: HostView, next_dbids: Mapping[int, int]) -> None:
        self.view = view
        self.next_dbids = dict(next_dbids)
        self._images: dict[Key, bytes] = {}  # b"": deleted
        self._accounts: dict[Key, AccountRecord | None] = {}
        self._names: dict[UniqueName, int] = {}  # 0: free again
        self._root_folders: dict[tuple[int, str], int] | None = None
        self._grants: dict[Key, Kept] = {}
        self._access_groups: AccessGroups | None = None  # None: no group was touched

    def take(self, tx: Transaction, built: Built) -> None:
        """Puts one more change on top."""
        self.next_dbids.update(tx.given)
        for change, image in zip(built.changes, built.images, strict=True):
            key = change.cls.id, change.dbid
            self._images[key] = image
            self._note(key, tx.touched[key].after)
        for granted in built.granted:
            is_left = granted.op != "delete"
            self._grants[granted.place] = (
                Kept(granted.number, granted.grants) if is_left else NO_GRANTS
            )
        rows = built.rows
        for row in rows.names_gone:
            self._free_names((row["class_id_"], row["dbid_"]), tx)
        for row in rows.names:
            name = UniqueName(row["class_id"], row["rule"], row["scope"], row["value"])
            self._names[name] = row["dbid"]
        for row in rows.accounts_gone:
            self._accounts[row["class_id_"], row["dbid_"]] = None
        for row in rows.accounts:
            words = (row[name] for name in ("user_name", "algorithm", "hash", "revision", "facts"))
            self._accounts[row["class_id"], row["dbid"]] = record_of(*words)

    def _note(self, key: Key, obj: JsonObject | None) -> None:
        if key[0] == FOLDER.id:
            if self._root_folders is None:
                self._root_folders = dict(self.view.root_folders)
            note_folder(self._root_folders, key[1], obj)
        elif key[0] == ACCESS_GROUP.id:
            if self._access_groups is None:
                self._access_groups = self.view.access_groups.copy()
            self._access_groups.note(key[1], obj)

    def _free_names(self, key: Key, tx: Transaction) -> None:
        before = tx.touched[key].before
        for name in names_of(by_id[key[0]], before) if before is not None else ():
            if self._names.get(name, key[1]) == key[1]:
                self._names[name] = 0

    # -- as rights are decided (csp.rules.author.State) -------------------------------------------

    def container(self, place: Place) -> Place:
        image = self.image(*place)
        return parse_header(image).container if image else NOWHERE

    def grants(self, place: Place) -> Grants:
        return self.kept_grants(*place).grants

    def groups_of(self, member: Account) -> Sequence[Account]:
        found = list(self.view.listed.by(member))
        if self._access_groups is not None:
            found = [dbid for dbid in found if (ACCESS_GROUP.id, dbid) not in self._images]
            for (class_id, dbid), image in self._images.items():
                if class_id == ACCESS_GROUP.id and image and lists(object_of(image) or {}, member):
                    found.append(dbid)
        return self.access_groups.enabled(found)

    def everyone_of(self, tenant: int) -> Iterator[Account]:
        return self.access_groups.everyone_of(tenant)

    @property
    def access_groups(self) -> AccessGroups:
        """As they will be."""
        return self._access_groups or self.view.access_groups

    # -- as transactions ask ----------------------------------------------------------------------

    def get(self, class_id: int, dbid: int) -> JsonObject | None:
        image = self.image(class_id, dbid)
        return object_of(image) if image else None

    def image(self, class_id: int, dbid: int) -> bytes | None:
        """The image of an object as it will be stored; none where there is none."""
        own = self._images.get((class_id, dbid))
        return self.view.host.image(class_id, dbid) if own is None else own

    def exists(self, class_id: int, dbid: int) -> bool:
        image = self._images.get((class_id, dbid))
        return self.view.exists(class_id, dbid) if image is None else image != b""

    def referrers(
        self, class_id: int, dbid: int, most: int, classes: Sequence[int] = ()
    ) -> list[Key]:
        found = self.view.referrers(class_id, dbid, most + len(self._images), classes)
        if not self._images:
            return found
        kept = [one for one in found if one not in self._images]
        for key, image in self._images.items():
            obj = object_of(image) if image and (not classes or key[0] in classes) else None
            if obj is not None and (class_id, dbid) in set(targets_of(by_id[key[0]], obj)):
                kept.append(key)
        return sorted(kept)[:most]

    def needers(self, class_id: int, dbid: int, most: int) -> list[tuple[Key, str]]:
        found = self.view.needers(class_id, dbid, most + len(self._images))
        if not self._images:
            return found
        kept = [one for one in found if one[0] not in self._images]
        for key, image in self._images.items():
            obj = object_of(image) if image else None
            references = (
                references_to(by_id[key[0]], obj, (class_id, dbid)) if obj is not None else []
            )
            kept += [(key, one.path) for one in references if one.needed][:1]
        return sorted(kept)[:most]

    def default_folder(self, tenant: int, word: str) -> int | None:
        folders = self.view.root_folders if self._root_folders is None else self._root_folders
        return folders.get((tenant, word))

    def kept_grants(self, class_id: int, dbid: int) -> Kept:
        own = self._grants.get((class_id, dbid))
        return self.view.kept_grants(class_id, dbid) if own is None else own

    def granted_to(self, account: Account, most: int) -> list[Key]:
        found = self.view.granted_to(account, most + len(self._grants))
        own = [key for key, kept in self._grants.items() if account in kept.grants]
        return sorted([one for one in found if one not in self._grants] + own)[:most]

    def account_revision(self, dbid: int) -> int:
        record = self.account(PERSON_ID, dbid)
        return 0 if record is None else record.credential

    def account(self, class_id: int, dbid: int) -> AccountRecord | None:
        """The record that is kept for an object's secret."""
        if (class_id, dbid) in self._accounts:
            return self._accounts[class_id, dbid]
        return self.view.database.account(class_id, dbid)

    def name_owners(self, names: Sequence[UniqueName]) -> dict[UniqueName, int]:
        """Who holds each of these names; those that nobody holds are left out."""
        own = {name: self._names[name] for name in names if name in self._names}
        asked = [name for name in names if name not in own]
        found = self.view.database.name_owners(asked) if asked else {}
        found.update({name: dbid for name, dbid in own.items() if dbid})
        return found
