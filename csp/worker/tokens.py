"""Makes the tokens of this worker's sessions, and decides what one that a client shows is worth.

1. The keys come from the store, as the master made them: a proxy needs nobody to check a token.
2. A token is refused at once: forged, old, of an account that was disabled, deleted, or whose
   password has changed since, or whose Application is gone, disabled or a configuration server's.
3. An account without a record, whose password a directory keeps, has the credential 0: its tokens
   are good for their time while the person is enabled, also while the directory is away.
4. Its place refuses nothing: what this history can't go on from is told by `resync` later.
"""

from __future__ import annotations

from typing import Any

import orjson

from csp.errors import NoPerm, WrongPass
from csp.model.accounts import credential_of
from csp.model.groups import is_enabled
from csp.model.redundancy import is_server
from csp.model.token import VERSION, Token, is_signed, read_token
from csp.model.token_keys import KEYS_DBID, TOKENS, TokenKey, read_keys
from csp.model.types import ACCOUNT_CLASS_ID, CLASSES
from csp.observe.clock import wall_ms
from csp.process.tenants import Tenants
from csp.rules.accounts import is_certificate_only, rules_of
from csp.worker.call import Lane, Restored
from csp.worker.scoped import stream_of

CHECK_MS = 1_000  # how soon tokens are signed with a new key; the one before stays good
NO_KEY = bytes(32)
PERSON, APPLICATION = CLASSES["CfgPerson"], CLASSES["CfgApplication"]
WRONG = "the token is not valid here: sign in with the password"


class Tokens:
    """The token keys as this worker's store has them."""

    def __init__(self, lane: Lane) -> None:
        self._lane = lane
        self._record: bytes | None = None
        self._keys: dict[int, bytes] = {}  # derived, by number
        self._found: dict[tuple[str, int, int, int], tuple[dict[str, Any], int, bool]] = {}
        self._tenants = Tenants()
        self._looked_at = (b"", -1)  # the state of which those are

    def start(self) -> None:
        """Signs with the newest key from now on."""
        self._look()

    def make(self, conn: int) -> str:
        """A token for a connection that has registered; "" where it gets none."""
        self.sign()
        return self._lane.loop.token(conn).decode()

    def check(self, user: str, text: bytes) -> Restored:
        """What this user's token leads to; WrongPass or NoPerm where it is worth nothing."""
        token = read_token(text)
        key = self._derived().get(token.key_id) if token is not None else None
        if token is None or key is None or not is_signed(text, key) or token.version != VERSION:
            raise WrongPass(WRONG)
        if wall_ms() >= token.expires_ms:
            raise WrongPass("the token is older than a day: sign in with the password")
        return Restored(token, user, *self._found_of(token, user))

    def _found_of(self, token: Token, user: str) -> tuple[dict[str, Any], int, bool]:
        """The Application that the token's account serves, how many sessions that account may
        have, and whether it signs in by a certificate alone; looked at once at each revision.
        """
        reader = self._lane.reader
        if (reader.stream, reader.revision) != self._looked_at:
            self._looked_at = reader.stream, reader.revision
            self._found.clear()
        key = (user, token.account, token.credential, token.application)
        found = self._found.get(key)
        if found is None:
            found = self._found[key] = self._look_at(token, user)
        return found

    def _look_at(self, token: Token, user: str) -> tuple[dict[str, Any], int, bool]:
        person = self._object(PERSON.id, token.account)
        account = self._lane.reader.raw_get(ACCOUNT_CLASS_ID, token.account)
        if person is None or person.get("userName") != user or not is_enabled(person):
            raise WrongPass(WRONG)
        if credential_of(account) != token.credential:
            raise WrongPass("the password has changed since the token was made: sign in with it")
        application = self._object(APPLICATION.id, token.application)
        if application is None or not is_enabled(application):
            raise NoPerm("the token's application is gone or disabled: sign in with the password")
        if is_server(application):
            raise NoPerm("configuration servers sign in with the password")
        return application, rules_of(self._tenant, person).sessions, is_certificate_only(person)

    def _tenant(self, class_name: str, dbid: int) -> dict[str, Any] | None:
        return self._tenants.get(self._lane.reader, class_name, dbid)

    def _object(self, class_id: int, dbid: int) -> dict[str, Any] | None:
        data = self._lane.reader.raw_get(class_id, dbid)
        if data is None:
            return None
        found: dict[str, Any] = orjson.loads(data)
        return found

    def _derived(self) -> dict[int, bytes]:
        record = self._lane.reader.raw_get(ACCOUNT_CLASS_ID, KEYS_DBID)
        if record != self._record:
            self._record = record
            keys: tuple[TokenKey, ...] = read_keys(record) if record is not None else ()
            self._keys = {key.id: key.derived(TOKENS) for key in keys}
        return self._keys

    def _look(self) -> None:
        self.sign()
        self._lane.loop.call_later(CHECK_MS, self._look)

    def sign(self) -> None:
        """The loop signs with the newest key from now on."""
        if self._lane.loading:
            return
        lane, keys = self._lane, self._derived()
        number = max(keys, default=0)
        lane.loop.set_token_key(number, stream_of(lane), keys.get(number, NO_KEY))
