"""Reads the ports of a server out of its Application's `portInfos`, and its options for TLS.

1. Transport parameters are `name=value`, joined by `;`, without spaces beside `;` and `=`. What is
   not understood is a problem that names the port and the word.
2. A port of which something is not understood is not opened: it might let in whom it should not.
   The default port is, or nobody could mend the rest; what restricts it and has a bad value is
   then read in the strictest way.
3. Files, ciphers and protocols that a port does not name are those of section [security] of the
   Application, then of its Host; a key is no further away than the certificate that it belongs to.
   Whether a port is secure is said by the port alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from ipaddress import ip_network
from typing import Any, NamedTuple

from csp.process.ports import DEFAULT_ID, Network, Port, Purpose, Security

PORTS_MAX = 16  # of a server, the default port among them
NETWORKS_MAX = 64  # of one list of a port
TCP_MAX = 65_535
SECTION = "security"  # of the options of an Application, and of the annex of a Host

# What is handed on to TLS; the first may stand in [security] too.
CERTIFICATE, KEY = "certificate", "certificate-key"
TRUSTED, REVOKED = "trusted-ca", "tls-crl"
CIPHERS, PROTOCOLS = "cipher-list", "sec-protocol"
FILLED = (CERTIFICATE, KEY, TRUSTED, REVOKED, CIPHERS, PROTOCOLS)
MUTUAL, TARGET_NAME_CHECK = "tls-mutual", "tls-target-name-check"
AGENT_CHECK = "agent-check"
# A port compares no names: what the original wrote there is known, and means nothing here.
TEXTS = (*FILLED, TARGET_NAME_CHECK, "certificate-user")
FLAGS = ("tls", "upgrade", MUTUAL, "user", "ha-sync", "management", "sentinel", AGENT_CHECK)
LISTS = ("proxy-protocol", "addresses")
CERTIFICATE_USERS = ("cn", "uri")
NAME_CHECKS = ("no", "host")
PURPOSES = {
    "user": Purpose.USER_INTERFACE,
    "ha-sync": Purpose.HA_SYNC,
    "management": Purpose.MANAGEMENT,
    "sentinel": Purpose.SENTINEL,
    AGENT_CHECK: Purpose.AGENT_CHECK,
}
STRICT = ("tls", MUTUAL)  # with a bad value they are on
LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))  # a list with a bad value is these
ON = "1"


class PortProblem(NamedTuple):
    """Something of a port that is not taken."""

    port: str  # its id
    word: str  # as it stands there
    reason: str

    def __str__(self) -> str:
        return f"port {self.port}, {self.word}: {self.reason}"


@dataclass(frozen=True)
class PortInfos:
    """What an Application says of its server's ports, the default port first."""

    ports: tuple[Port, ...]  # numbered by their place; without an address: they are not bound
    problems: tuple[PortProblem, ...] = ()


@dataclass
class Parameters:
    """The transport parameters of one port, taken apart."""

    port: str
    values: dict[str, str] = field(default_factory=dict)
    networks: dict[str, tuple[Network, ...]] = field(default_factory=dict)
    problems: list[PortProblem] = field(default_factory=list)

    def refuse(self, word: str, reason: str) -> None:
        """Notes what is not taken."""
        self.problems.append(PortProblem(self.port, word, reason))

    def is_on(self, name: str) -> bool:
        """Whether a flag is set."""
        return self.values.get(name) == ON


def read_ports(
    application: Mapping[str, Any],
    host: Mapping[str, Any] | None = None,
    stated: Mapping[str, str] | None = None,
) -> PortInfos:
    """The ports that an Application names; `host` is the object of the Host that it runs on.

    `stated`: parameters of the default port that the command line gives, how it is secured among
    them; they stand before all.
    """
    options = security_options(application, host)
    problems: list[PortProblem] = []
    infos = [one for one in application.get("portInfos") or () if isinstance(one, Mapping)]
    first = next((one for one in infos if one.get("id") == DEFAULT_ID), {"id": DEFAULT_ID})
    parameters = _read(first, stated)
    ports = [_default(first, parameters, options)]
    problems += parameters.problems
    taken = {ports[0].tcp}
    for one in infos:
        if one.get("id") == DEFAULT_ID:
            continue
        parameters = _read(one)
        port = _extra(len(ports), one, parameters, options)
        if port.tcp in taken:
            parameters.refuse(str(one.get("port")), "another port of this server has this number")
        if len(ports) == PORTS_MAX:
            parameters.refuse(str(one.get("port")), f"a server has at most {PORTS_MAX} ports")
        is_dropped = any(_is_fatal(problem, port) for problem in parameters.problems)
        problems += parameters.problems
        if not is_dropped:
            taken.add(port.tcp)
            ports.append(port)
    return PortInfos(tuple(ports), tuple(problems))


def security_options(
    application: Mapping[str, Any], host: Mapping[str, Any] | None
) -> dict[str, str]:
    """What [security] of the Application, then of its Host, says of files, ciphers and the like."""
    found: dict[str, str] = {}
    for properties in ((host or {}).get("userProperties"), application.get("options")):
        section = (properties or {}).get(SECTION)
        if isinstance(section, Mapping):
            nearer = {name: str(section[name]) for name in FILLED if section.get(name)}
            found = filled_in(nearer, found)
    return found


def filled_in(nearer: Mapping[str, str], further: Mapping[str, str]) -> dict[str, str]:
    """What a level says, and of what it does not say what the one behind it does.

    A key belongs to its certificate: it is never one from behind the level that names that.
    """
    if CERTIFICATE in nearer:
        further = {name: text for name, text in further.items() if name != KEY}
    return {**further, **nearer}


def parse_parameters(port: str, text: str) -> Parameters:
    """Takes the transport parameters of a port apart; what is wrong is among `problems`."""
    found = Parameters(port)
    for word in text.split(";"):
        if word:
            _take(found, word)
    return found


def _read(info: Mapping[str, Any], stated: Mapping[str, str] | None = None) -> Parameters:
    found = parse_parameters(str(info.get("id") or ""), str(info.get("transportParams") or ""))
    if stated:
        is_secured = ON in (stated.get("tls"), stated.get("upgrade"))
        for name in ("tls", "upgrade") if is_secured else ("tls", "upgrade", MUTUAL):
            found.values.pop(name, None)
        found.values |= stated
        if not is_secured and "addresses" in found.networks:  # somebody mends what locked him out
            found.networks["addresses"] += LOOPBACK
    _check_together(found)
    return found


def _take(found: Parameters, word: str) -> None:
    name, separator, value = word.partition("=")
    if word != word.strip() or name != name.strip() or value != value.strip():
        found.refuse(word, "there is a space beside `;` or `=`: write them without")
        _take_strictly(found, name.strip(), value.strip())
    elif not separator or not value:
        found.refuse(word, "it is not of the form name=value")
        _take_strictly(found, name, value)
    elif name not in (*FLAGS, *TEXTS, *LISTS):
        found.refuse(word, "there is no such parameter of a port")
    elif name in found.values or name in found.networks:
        found.refuse(word, "it stands there twice")
        _take_strictly(found, name, value)
    elif name in LISTS:
        _take_networks(found, word, name, value)
    else:
        reason = _why_bad(name, value)
        if reason:
            found.refuse(word, reason)
            _take_strictly(found, name, value)
        else:
            found.values[name] = value


def _take_strictly(found: Parameters, name: str, value: str) -> None:
    """What is not taken as it stands restricts nevertheless, if that is what it is for."""
    if name in STRICT and value != "0":
        found.values[name] = ON
    elif name in LISTS:
        found.networks.setdefault(name, LOOPBACK)


def _why_bad(name: str, value: str) -> str:
    if name in FLAGS:
        return "" if value in ("0", ON) else "it is 0 or 1"
    words = {"certificate-user": CERTIFICATE_USERS, TARGET_NAME_CHECK: NAME_CHECKS}.get(name)
    return f"it is {' or '.join(words)}" if words and value not in words else ""


def _take_networks(found: Parameters, word: str, name: str, value: str) -> None:
    parts = value.split(",")
    found.networks[name] = LOOPBACK
    if len(parts) > NETWORKS_MAX:
        found.refuse(word, f"{len(parts)} addresses are more than {NETWORKS_MAX}: name networks")
        return
    try:
        found.networks[name] = tuple(ip_network(part) for part in parts)
    except ValueError as error:
        found.refuse(word, f"{error}; addresses and networks are joined by commas")


def _check_together(found: Parameters) -> None:
    """What can't stand beside each other on one port; the stricter reading stays."""
    values = found.values
    if found.is_on("tls") and found.is_on("upgrade"):
        found.refuse("upgrade=1", "with tls=1 nothing unencrypted is taken: state one of them")
        del values["upgrade"]
    is_encrypted = found.is_on("tls") or found.is_on("upgrade")
    if found.is_on(MUTUAL) and not is_encrypted:
        found.refuse("tls-mutual=1", "it needs tls=1")
    if "certificate-user" in values and not found.is_on(MUTUAL):
        found.refuse(f"certificate-user={values.pop('certificate-user')}", "it needs tls-mutual=1")
    if found.is_on("user") and found.is_on("ha-sync"):
        found.refuse("user=1", "a port for HA synchronization is for the peer server alone")
        del values["user"]
    for name in [one for one in PURPOSES if found.is_on(one)][1:]:
        found.refuse(f"{name}=1", f"a port has one purpose: state one of {', '.join(PURPOSES)}")
    if found.is_on(AGENT_CHECK) and (is_encrypted or "proxy-protocol" in found.networks):
        found.refuse(f"{AGENT_CHECK}=1", "balancers ask in the clear: no tls, no proxy-protocol")
        del values[AGENT_CHECK]


def _default(info: Mapping[str, Any], found: Parameters, options: Mapping[str, str]) -> Port:
    for name in PURPOSES:
        if found.is_on(name):
            found.refuse(f"{name}=1", "the default port is everybody's: give it to another port")
            del found.values[name]
    tcp = str(info.get("port") or "")
    return _port(0, info, found, options, int(tcp) if _is_tcp(tcp) else 0)


def _extra(
    number: int, info: Mapping[str, Any], found: Parameters, options: Mapping[str, str]
) -> Port:
    tcp = str(info.get("port") or "")
    if not _is_tcp(tcp):
        found.refuse(tcp or "port", f"it is not a port from 1 to {TCP_MAX}")
    return _port(number, info, found, options, int(tcp) if _is_tcp(tcp) else 0)


def _is_tcp(text: str) -> bool:
    return text.isascii() and text.isdecimal() and 1 <= int(text) <= TCP_MAX


def _is_fatal(problem: PortProblem, port: Port) -> bool:
    """Whether a port had better stay shut; one for the peer alone is no wider without `user`."""
    return not (problem.word == "user=1" and port.purpose is Purpose.HA_SYNC)


def _port(
    number: int,
    info: Mapping[str, Any],
    found: Parameters,
    options: Mapping[str, str],
    tcp: int,
) -> Port:
    purposes = [purpose for name, purpose in PURPOSES.items() if found.is_on(name)]
    security = Security.UNSECURED
    if found.is_on("tls"):
        security = Security.SECURED
    elif found.is_on("upgrade"):
        security = Security.AUTO
    said = {name: found.values[name] for name in TEXTS if name in found.values}
    if found.is_on(MUTUAL):
        said[MUTUAL] = ON
    return Port(
        number,
        id=str(info.get("id") or ""),
        tcp=tcp,
        purpose=purposes[0] if purposes else Purpose.CLIENTS,
        security=security,
        proxy_from=found.networks.get("proxy-protocol", ()),
        listed=found.networks.get("addresses", ()),
        tls=filled_in(said, options) if security is not Security.UNSECURED else {},
    )


def numbered(ports: list[Port]) -> tuple[Port, ...]:
    """The same ports, each with its place as its number."""
    return tuple(replace(one, number=number) for number, one in enumerate(ports))
