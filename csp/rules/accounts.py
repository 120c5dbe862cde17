"""Says which rules hold for a person's account: those of its tenant and the tenants above it.

[security-authentication-rules] stands in the annex of a tenant, and of a person what is his alone.

1. A tenant's own value counts before that of the tenant above it, up to Environment; a tenant that
   sets tenant-override-section takes nothing from above.
2. A value that breaks its rule counts as the default, and is named in `problems`.
3. The account `default` never expires, has no limit of sessions, and no lock on it is for ever: it
   is the one that lets everybody else back in.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from csp.errors import BadValue
from csp.model.types import CLASSES, ENVIRONMENT
from csp.tables.options import OPTIONS, Value, parse_value

SECTION: Final = "security-authentication-rules"
OVERRIDE: Final = "tenant-override-section"
CERTIFICATE_ONLY: Final = "certificate-only"  # of [authentication], in a person's annex
AUTHENTICATION: Final = "authentication"
PERSON: Final = CLASSES["CfgPerson"]
TENANT: Final = CLASSES["CfgTenant"]
DEFAULT_ACCOUNT: Final = min(PERSON.builtin)
TENANTS_MAX: Final = 100  # above one another; what is more is a cycle
MINUTE_MS: Final = 60_000
DAY_MS: Final = 86_400_000
FOR_EVER_MS: Final = 2**53 - 1  # a lock of duration 0

Get = Callable[[str, int], Mapping[str, Any] | None]  # an object by class and DBID


@dataclass(frozen=True, slots=True)
class AccountRules:
    """What holds for one account; 0 is no limit."""

    idle_days: int = 0  # account-expiration
    lock_attempts: int = 0
    lock_window_ms: int = 0  # 0: however long ago
    lock_ms: int = 0
    reset_first: bool = False  # force-password-reset
    sessions: int = 0
    password_days: int = 0
    notify_days: int = 0
    min_length: int = 0
    no_repeats: int = 0
    needs: tuple[str, ...] = ()  # the names of password-req-* that hold
    problems: tuple[str, ...] = field(default=(), compare=False)

    def why_not(self, password: str) -> str:
        """Which rule a new password breaks; empty where none."""
        if len(password) < self.min_length:
            return f"it has less than {self.min_length} characters (password-min-length)"
        for name in self.needs:
            words, is_met = _COMPOSITION[name]
            if not is_met(password):
                return f"it holds {words} ({name})"
        return ""


_PUNCTUATION: Final = frozenset(string.punctuation)
_COMPOSITION: Final[Mapping[str, tuple[str, Callable[[str], bool]]]] = {
    "password-req-alpha": ("no letter", lambda text: any(one.isalpha() for one in text)),
    "password-req-mixed-case": (
        "not both capitals and small letters",
        lambda text: any(one.isupper() for one in text) and any(one.islower() for one in text),
    ),
    "password-req-number": ("no digit", lambda text: any(one.isdigit() for one in text)),
    "password-req-punctuation": (
        "no punctuation",
        lambda text: any(one in _PUNCTUATION for one in text),
    ),
}


def rules_of(get: Get, person: Mapping[str, Any]) -> AccountRules:
    """The rules for a person's account."""
    rules = _rules_of_tenant(get, int(person.get("tenantDBID") or ENVIRONMENT))
    own, problems = _own(person)
    if own.get("override-account-expiration"):
        rules = replace(rules, idle_days=0)
    if own.get("override-password-expiration"):
        rules = replace(rules, password_days=0)
    if own.get("account-override-lockout"):
        rules = replace(rules, lock_attempts=0)
    if person.get("DBID") == DEFAULT_ACCOUNT:
        lock_ms = rules.lock_ms if rules.lock_ms < FOR_EVER_MS else _default_lock_ms()
        rules = replace(
            rules, idle_days=0, password_days=0, sessions=0, lock_ms=lock_ms, reset_first=False
        )
    return replace(rules, problems=rules.problems + problems) if problems else rules


def is_certificate_only(person: Mapping[str, Any]) -> bool:
    """Whether a person signs in by his certificate alone: his own annex says so."""
    section = (person.get("userProperties") or {}).get(AUTHENTICATION) or {}
    option = OPTIONS[AUTHENTICATION, CERTIFICATE_ONLY]
    try:
        return bool(parse_value(option, section.get(CERTIFICATE_ONLY, option.default)))
    except ValueError:
        return True  # somebody has tried to say it


def check_password(rules: AccountRules, shown: str, password: str) -> None:
    """Raises BadValue, naming the rule that a new password of `shown` breaks."""
    why = rules.why_not(password)
    if why:
        raise BadValue(f"{shown} password: {why}, see [{SECTION}]")


def _rules_of_tenant(get: Get, tenant: int) -> AccountRules:
    stated: dict[str, Value] = {}
    problems: tuple[str, ...] = ()
    for one in _tenants(get, tenant):
        own, wrong = _own(one)
        stated = own | stated
        problems += wrong
    return _made(stated, problems)


def _tenants(get: Get, dbid: int) -> Iterator[Mapping[str, Any]]:
    """A tenant and those whose rules it takes, the nearest first."""
    seen: set[int] = set()
    while dbid and dbid not in seen and len(seen) < TENANTS_MAX:
        seen.add(dbid)
        tenant = get(TENANT.name, dbid)
        if tenant is None:
            return
        yield tenant
        if _is_cut_off(tenant):
            return
        dbid = int(tenant.get("parentTenantDBID") or 0) or ENVIRONMENT


def _is_cut_off(tenant: Mapping[str, Any]) -> bool:
    """The option says `true`, or which sections are the tenant's own."""
    text = str(_section(tenant).get(OVERRIDE, "")).lower()
    words = {word.strip() for word in text.split(",")}
    return bool(words & {SECTION, "true", "yes", "on", "1"})


def _section(obj: Mapping[str, Any]) -> Mapping[str, Any]:
    return (obj.get("userProperties") or {}).get(SECTION) or {}


def _own(obj: Mapping[str, Any]) -> tuple[dict[str, Value], tuple[str, ...]]:
    """The values that an object's annex states, and what is wrong with some of them."""
    found: dict[str, Value] = {}
    problems: list[str] = []
    for name, text in _section(obj).items():
        option = OPTIONS.get((SECTION, name))
        if option is None:
            continue
        try:
            found[name] = parse_value(option, text)
        except ValueError as error:
            found[name] = option.default
            where = f"{obj.get('class')}:{obj.get('DBID')}"
            problems.append(f"{where} [{SECTION}] {name}: {error}; {option.default!r} is used")
    return found, tuple(problems)


def _made(stated: Mapping[str, Value], problems: tuple[str, ...]) -> AccountRules:
    def value(name: str) -> Value:
        return stated.get(name, OPTIONS[SECTION, name].default)

    minutes = int(value("account-lockout-duration"))
    return AccountRules(
        idle_days=int(value("account-expiration")),
        lock_attempts=int(value("account-lockout-threshold")),
        lock_window_ms=int(value("account-lockout-attempts-period")) * MINUTE_MS,
        lock_ms=minutes * MINUTE_MS or FOR_EVER_MS,
        reset_first=bool(value("force-password-reset")),
        sessions=int(value("max-account-sessions")),
        password_days=int(value("password-expiration")),
        notify_days=int(value("password-expiration-notify")),
        min_length=int(value("password-min-length")),
        no_repeats=int(value("password-no-repeats")),
        needs=tuple(name for name in _COMPOSITION if value(name)),
        problems=problems,
    )


def _default_lock_ms() -> int:
    return int(OPTIONS[SECTION, "account-lockout-duration"].default) * MINUTE_MS
