"""Grants of a master on a fake host: as its records have them, and as its database does."""

from __future__ import annotations

from typing import Any

from csp.model.grants import grants_in
from csp.model.image import parse_header
from csp.model.rights import account_key, words_of
from csp.model.symbolic import parse_key
from csp.model.types import GRANTS_CLASS_ID, by_id
from tests.unit.master_stage import Stage

Listed = dict[str, str]  # words by account

EVERY = "R,C,U,X,D,RP,CP,propagate"
# Environment's default groups, by number.
USERS, ADMINISTRATORS, SUPERS = "CfgAccessGroup:2", "CfgAccessGroup:3", "CfgAccessGroup:4"
OF_NEW_DATABASE = {
    "CfgTenant:1": {
        "SYSTEM": EVERY,
        "CfgPerson:100": EVERY,
        SUPERS: EVERY,
        ADMINISTRATORS: EVERY,
        USERS: "R,X,propagate",
    },
    "CfgApplication:100": {USERS: "R,X"},
    **{
        key: {ADMINISTRATORS: "R"}
        for key in ("CfgPerson:100", "CfgApplication:99", "CfgAccessGroup:1", USERS,
                    ADMINISTRATORS, SUPERS)
    },
}  # fmt: skip


class GrantsStage(Stage):
    """A master whose grants are looked at."""

    def grant(self, key: str, account: str, rights: str, *words: str) -> int:
        return self.done("CFG.GRANT", key, account, rights, *words)

    def revoke(self, key: str, account: str) -> int:
        return self.done("CFG.REVOKE", key, account)

    def done(self, *command: Any) -> int:
        """The revision of a command that must not be refused."""
        outcome = self.write(*command)
        assert outcome.error is None, outcome.error.line
        return outcome.revision

    def grants(self, key: str) -> Listed:
        """The grants of an object's own, by its record."""
        return self.all_grants().get(key, {})

    def all_grants(self) -> dict[str, Listed]:
        """Of every object that has some, by the records."""
        found = {}
        for (class_id, _), image in self.host.records.items():
            if class_id == GRANTS_CLASS_ID:
                holder, dbid = parse_header(image).container
                key = f"{by_id[holder].name}:{dbid}"
                assert key not in found
                found[key] = {
                    account_key(one): words_of(at) for one, at in grants_in(image).items()
                }
        return found

    def stored_grants(self) -> dict[str, Listed]:
        """The same by the database's rows."""
        found: dict[str, Listed] = {}
        with self.origin.database.reading() as connection:
            rows = connection.exec_driver_sql(
                "SELECT class_id, dbid, account_class, account_dbid, rights FROM grants"
            ).all()
        for class_id, dbid, account_class, account_dbid, rights in rows:
            listed = found.setdefault(f"{by_id[class_id].name}:{dbid}", {})
            listed[account_key((account_class, account_dbid))] = words_of(rights)
        return found

    def is_marked(self, key: str) -> bool:
        """Whether an object's record says that it has grants of its own."""
        cls, dbid = parse_key(key)
        image = self.host.image(cls.id, dbid)
        assert image is not None
        return bool(parse_header(image).flags & 2)

    def load_again(self) -> None:
        """A store that holds nothing: all of it comes out of the database."""
        records = dict(self.host.records)
        self.host.stream = b""
        self.close()
        self.origin = self.open()
        assert self.host.records == records
