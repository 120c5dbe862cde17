"""An estate with containers, groups and grants: its entries for a store, and who may read what.

What is readable is worked out from the rules alone (csp.model.rights), by looking at everything.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping, Set
from types import MappingProxyType
from typing import Any

from csp.model.entry import Change, build_entry
from csp.model.grants import GrantsChange, build_grants
from csp.model.image import build_image
from csp.model.places import FOLDER, NOWHERE, TENANT, Place, container_of
from csp.model.rights import (
    ACCESS_GROUP,
    ALL,
    PERSON,
    PROPAGATE,
    READ,
    Account,
    Grant,
    Grants,
    rights_on,
)
from csp.model.types import CLASSES, by_id

Object = dict[str, Any]
SKILL, APPLICATION = CLASSES["CfgSkill"], CLASSES["CfgApplication"]
STREAM = b"stream-of-16-byt"
TIME_MS = 1_760_000_000_000
DEFAULT_APPLICATION: Place = (APPLICATION.id, 100)


class GrantedWorld:
    """The objects, what is granted on them, and the entry of each change."""

    def __init__(self) -> None:
        self.objects: dict[Place, Object] = {}
        self.granted: dict[Place, dict[Account, Grant]] = {}
        self.numbers: dict[Place, int] = {}
        self._numbers = 0
        self._pending: dict[Place, tuple[Object | None, bool]] = {}
        self._pending_grants: dict[Place, bool] = {}

    # ---- a Lookup, and a Tree ----

    def get(self, class_name: str, dbid: int) -> Object | None:
        return self.objects.get((CLASSES[class_name].id, dbid))

    def container(self, place: Place) -> Place:
        obj = self.objects.get(place)
        return NOWHERE if obj is None else container_of(by_id[place[0]], obj, self)

    def grants(self, place: Place) -> Grants:
        return self.granted.get(place, {})

    # ---- changes, gathered until take() ----

    def put(self, class_name: str, dbid: int, **obj: Any) -> Place:
        """Creates an object, or gives it other attributes."""
        place = CLASSES[class_name].id, dbid
        self._note(place)
        self.objects[place] = {**self.objects.get(place, {}), "DBID": dbid, **obj}
        return place

    def remove(self, place: Place) -> None:
        """Deletes an object with what is granted on it, and to it."""
        self._note(place)
        del self.objects[place]
        self.grant(place, None)
        for other in list(self.granted):
            if place in self.granted[other]:
                self.grant(
                    other, {one: it for one, it in self.granted[other].items() if one != place}
                )

    def grant(self, place: Place, grants: Mapping[Account, Grant] | None) -> None:
        """All that is granted on an object from now on."""
        self._pending_grants.setdefault(place, place in self.granted)
        if place in self.objects:
            self._note(place)
        if grants:
            self.granted[place] = dict(grants)
            if place not in self.numbers:
                self._numbers += 1
                self.numbers[place] = self._numbers
        else:
            self.granted.pop(place, None)

    def add(self, place: Place, account: Account, grant: Grant) -> None:
        """One more grant on an object."""
        self.grant(place, {**self.grants(place), account: grant})

    def _note(self, place: Place) -> None:
        self._pending.setdefault(place, (self.objects.get(place), place in self.granted))

    def take(
        self, revision: int, prev_mark: int, actor: Mapping[str, str] = MappingProxyType({})
    ) -> bytes:
        """The entry of what was changed since, by somebody."""
        changes: list[Change | GrantsChange] = []
        images: list[bytes] = []
        for place, (before, had_own) in self._pending.items():
            cls = by_id[place[0]]
            after = self.objects.get(place)
            if before is None and after is None:
                continue
            own = place in self.granted
            if after is not None:
                after = self.objects[place] = {**after, "revision": revision}
            op = "create" if before is None else "delete" if after is None else "update"
            changes.append(Change(op, cls, place[1], before, after, own=(had_own, own)))
            images.append(
                b"" if after is None else build_image(cls, after, revision, self, own=own)
            )
        for place, had in self._pending_grants.items():
            has = place in self.granted
            if not had and not has:
                continue
            op = "delete" if not has else "update" if had else "create"
            number = self.numbers[place]
            changes.append(GrantsChange(op, number, place, self.grants(place)))
            images.append(
                build_grants(number, place, self.granted[place], revision) if has else b""
            )
            if not has:
                del self.numbers[place]
        self._pending, self._pending_grants = {}, {}
        return build_entry(revision, prev_mark, TIME_MS, actor, changes, images, look=self)

    def copy(self) -> GrantedWorld:
        """As it is now, for later questions."""
        found = GrantedWorld()
        found.objects, found.granted = dict(self.objects), dict(self.granted)
        return found

    def images(self) -> Iterator[bytes]:
        """What a store is loaded from, at revision 1."""
        self._pending, self._pending_grants = {}, {}
        for place, obj in sorted(self.objects.items()):
            obj["revision"] = 1
            own = place in self.granted
            yield build_image(by_id[place[0]], obj, 1, self, own=own)
        for place, grants in self.granted.items():
            yield build_grants(self.numbers[place], place, grants, 1)

    def present(self, revision: int) -> Iterator[bytes]:
        """What a store is loaded from at a later one."""
        for place, obj in sorted(self.objects.items()):
            own = place in self.granted
            yield build_image(by_id[place[0]], obj, obj["revision"], self, own=own)
        for place, grants in self.granted.items():
            yield build_grants(self.numbers[place], place, grants, revision)

    # ---- what is so ----

    def accounts_of(self, dbid: int) -> set[Account]:
        """The person and all groups that he is."""
        person = self.objects.get((PERSON.id, dbid))
        if person is None or person.get("state") == "disabled":
            return set()
        groups = {place: obj for place, obj in self.objects.items() if place[0] == ACCESS_GROUP.id}
        groups = {at: obj for at, obj in groups.items() if obj["groupInfo"]["state"] != "disabled"}
        found: set[Account] = {(PERSON.id, dbid)}
        for place, obj in groups.items():
            is_everyone = obj["type"] == "everyonegroup"
            if is_everyone and obj["groupInfo"]["tenantDBID"] == person["tenantDBID"]:
                found.add(place)
        more = True
        while more:
            more = False
            for place, obj in groups.items():
                members = {_member(one) for one in obj.get("memberIDs", ())}
                if place not in found and members & found:
                    found.add(place)
                    more = True
        return found

    def may_read(self, dbid: int, place: Place) -> bool:
        """Whether a person may read an object."""
        return bool(rights_on(self, place, self.accounts_of(dbid)) & READ)

    def readable(self, dbid: int, places: Iterable[Place] | None = None) -> set[Place]:
        """All that a person may read."""
        accounts = self.accounts_of(dbid)
        every = self.objects if places is None else places
        return {place for place in every if rights_on(self, place, accounts) & READ}

    def within(self, scope: Set[Place] | None, places: Iterable[Place]) -> set[Place]:
        """Those that are governed from somewhere in a scope; None: all."""
        return {place for place in places if scope is None or self._is_within(scope, place)}

    def _is_within(self, scope: Set[Place], place: Place) -> bool:
        at = place
        if place[0] != TENANT.id and place not in self.granted:
            at = self.container(place)
        while at not in scope and at != NOWHERE and at[0] != TENANT.id:
            at = self.container(at)
        return at in scope


def _member(member: Mapping[str, Any]) -> Account:
    return (PERSON.id if member["type"] == "person" else ACCESS_GROUP.id), member["DBID"]


# ---- a random one ----

FOLDERS, GROUPS, PERSONS, SKILLS = (
    range(201, 221),
    range(301, 311),
    range(101, 113),
    range(501, 541),
)


def folder(dbid: int, inside: int, tenant: int = 1) -> dict[str, Any]:
    """The attributes of a folder; inside 0: a root folder of the tenant."""
    return {
        "name": f"f{dbid}",
        "type": "person",
        "ownerID": {"type": "tenant", "DBID": tenant},
        "folderDBID": inside,
        "state": "enabled",
    }


def group(dbid: int, members: Iterable[Account], **more: Any) -> dict[str, Any]:
    """The attributes of an access group; more: its folder, tenant, state and type."""
    info = {
        "name": f"g{dbid}",
        "tenantDBID": more.get("tenant", 1),
        "state": more.get("state", "enabled"),
    }
    words = {PERSON.id: "person", ACCESS_GROUP.id: "accessgroup"}
    return {
        "groupInfo": info,
        "folderDBID": more.get("inside", 0),
        "type": more.get("type", "defaultgroup"),
        "memberIDs": [{"type": words[cls], "DBID": dbid} for cls, dbid in sorted(members)],
    }


def person(dbid: int, inside: int, **more: Any) -> dict[str, Any]:
    """The attributes of a person."""
    return {
        "userName": f"user{dbid}",
        "employeeID": f"e{dbid}",
        "tenantDBID": 1,
        "folderDBID": inside,
        "state": "enabled",
        "isAgent": dbid % 2 == 0,
        **more,
    }


def skill(dbid: int, inside: int) -> dict[str, Any]:
    """The attributes of a skill."""
    return {"name": f"s{dbid}", "tenantDBID": 1, "folderDBID": inside, "state": "enabled"}


def random_world(random_: random.Random) -> GrantedWorld:
    """Two tenants, folders in folders, groups in groups, grants anywhere."""
    world = GrantedWorld()
    for tenant in (1, 2):
        world.put("CfgTenant", tenant, name=f"t{tenant}", state="enabled", folderDBID=0)
    for dbid in FOLDERS:
        world.put(
            "CfgFolder", dbid, **folder(dbid, random_inside(random_, dbid), random_.choice((1, 2)))
        )
    for dbid in PERSONS:
        world.put(
            "CfgPerson", dbid, **person(dbid, random_.choice(FOLDERS), tenantDBID=1 + dbid % 2)
        )
    for dbid in GROUPS:
        world.put("CfgAccessGroup", dbid, **random_group(random_, dbid))
    for dbid in SKILLS:
        world.put("CfgSkill", dbid, **skill(dbid, random_.choice((0, *FOLDERS))))
    for _ in range(40):
        random_grant(random_, world)
    return world


def random_inside(random_: random.Random, dbid: int) -> int:
    """What a folder lies in: one with a lower number, so that nothing lies in itself."""
    return random_.choice((0, *range(FOLDERS[0], dbid)))


def random_group(random_: random.Random, dbid: int) -> dict[str, Any]:
    """A group of persons and of groups, circles among them too."""
    members: set[Account] = {(PERSON.id, one) for one in random_.sample(PERSONS, 3)}
    if random_.random() < 0.5:
        members.add((ACCESS_GROUP.id, random_.choice(GROUPS)))
    return group(
        dbid,
        members,
        tenant=random_.choice((1, 2)),
        inside=random_.choice((0, *FOLDERS)),
        state=random_.choice(("enabled",) * 4 + ("disabled",)),
        type="everyonegroup" if dbid in GROUPS[:2] else "defaultgroup",
    )


def random_grant(random_: random.Random, world: GrantedWorld) -> None:
    """Gives, changes or takes a grant somewhere."""
    where = [at for at in world.objects if at[0] in (FOLDER.id, TENANT.id)] * 4 + [*world.objects]
    place = random_.choice(sorted(where))
    account = random_.choice(accounts_there(world))
    if random_.random() < 0.2:
        kept = {one: it for one, it in world.grants(place).items() if one != account}
        world.grant(place, kept)
        return
    rights = random_.choice((READ, READ, READ, ALL, ALL & ~READ, 0))
    world.add(place, account, rights | random_.choice((PROPAGATE, PROPAGATE, 0)))


def accounts_there(world: GrantedWorld) -> list[Account]:
    """All persons and groups."""
    return sorted(at for at in world.objects if at[0] in (PERSON.id, ACCESS_GROUP.id))


def random_change(random_: random.Random, world: GrantedWorld) -> None:
    """Something that changes who may read what, or doesn't."""
    kind = random_.randrange(9)
    if kind < 3:
        random_grant(random_, world)
    elif kind == 3:
        dbid = random_.choice(FOLDERS)
        world.put(
            "CfgFolder", dbid, **folder(dbid, random_inside(random_, dbid), random_.choice((1, 2)))
        )
    elif kind == 4:
        dbid = random_.choice(GROUPS)
        world.put("CfgAccessGroup", dbid, **random_group(random_, dbid))
    elif kind == 5:
        dbid = random_.choice(SKILLS)
        world.put("CfgSkill", dbid, **skill(dbid, random_.choice((0, *FOLDERS))))
    elif kind == 6:
        dbid = random_.choice(PERSONS)
        state = random_.choice(("enabled", "enabled", "disabled"))
        world.put(
            "CfgPerson",
            dbid,
            **person(dbid, random_.choice(FOLDERS), tenantDBID=1 + dbid % 2, state=state),
        )
    elif kind == 7:
        _remove_some(random_, world)
    else:
        dbid = random_.choice(range(221, 230))
        world.put("CfgFolder", dbid, **folder(dbid, random_.choice(sorted(_folders(world)))))
        world.put("CfgSkill", 600 + dbid, **skill(600 + dbid, dbid))


def _folders(world: GrantedWorld) -> list[int]:
    return [dbid for cls, dbid in world.objects if cls == FOLDER.id and dbid in FOLDERS]


def _remove_some(random_: random.Random, world: GrantedWorld) -> None:
    """Deletes a folder of those that come and go, with what lies in it, or a skill or group."""
    there = [at for at in world.objects if at[0] == FOLDER.id and at[1] not in FOLDERS]
    there += [at for at in world.objects if at[0] in (SKILL.id, ACCESS_GROUP.id)]
    if not there:
        return
    place = random_.choice(sorted(there))
    for other in sorted(world.objects):
        if other != place and world.container(other) == place:
            if other[0] == FOLDER.id:
                return
            world.remove(other)
    for other, obj in list(world.objects.items()):
        members = obj.get("memberIDs", ())
        if other[0] == ACCESS_GROUP.id and any(_member(one) == place for one in members):
            kept = [one for one in members if _member(one) != place]
            world.put("CfgAccessGroup", other[1], **{**obj, "memberIDs": kept})
    world.remove(place)
