"""Writes the first inputs of every target, from which libFuzzer goes on.

Run `python -m tests.fuzz.seeds` after a change of formats.
"""

from __future__ import annotations

import orjson

from csp.model.entry import Change, build_entry
from csp.model.extract import Nothing
from csp.model.grants import GrantsChange, build_grants
from csp.model.image import build_image
from csp.model.rights import ALL, PROPAGATE, SYSTEM
from csp.model.types import CLASSES
from tests.fuzz.build import CORPUS
from tests.fuzz.conversing import person
from tests.fuzz.targets import QUESTIONS

PERSON = CLASSES["CfgPerson"]
LINES = (
    b"AUTH x\r\nHELLO 3\r\nGET CfgPerson:101\r\n"
    b"MGET CfgPerson:000102 x: :1 CfgPerson:4294967296\r\n",
    b"AUTH x\r\nSUBSCRIBE cfg:CfgPerson:101 cfg.notice\r\nPSUBSCRIBE cfg* [a-z]?\\*\r\nPING a\r\n",
    b"AUTH x\r\nCFG.READ CfgPerson FILTER folder_dbid 101 LIMIT 3 MINREV 1 MAXAGE 10\r\n"
    b"CFG.READ CfgPerson CURSOR 1-103 BRIEF\r\nCFG.COUNT CfgPerson FILTER is_agent true\r\n",
    b"AUTH x\r\n\"EX\\x49STS\" 'CfgPerson:101' CfgPerson:999\r\nTYPE CfgPerson:101\r\nSTRLEN x\r\n",
    b"*2\r\n$4\r\nAUTH\r\n$1\r\nx\r\n*2\r\n$3\r\nGET\r\n$13\r\nCfgPerson:101\r\n"
    b"*0\r\n*-1\r\n\r\n*x\r\n",
    b"*2\r\n$4\r\nAUTH\r\n$1\r\nx\r\n*3\r\n$7\r\nEXECUTE\r\n$17\r\nGET CfgPerson:101\r\n"
    b"$18\r\nCFG.COUNT CfgPerson\r\n",
    QUESTIONS,
    b"AUTH x\r\nCFG.FROM 0 1 0 1\r\nSUBSCRIBE cfg\r\nGET x\r\nPSUBSCRIBE cfg*\r\nPING\r\n"
    b"UNSUBSCRIBE\r\nPUNSUBSCRIBE\r\nCFG.FROM 9\r\nCFG.FROM 1 0 7\r\nSUBSCRIBE x\r\nRESET\r\n",
    b"AUTH x\r\nHELLO 3\r\nCFG.FROM 9 0 0\r\nSUBSCRIBE cfg.notice\r\nGET CfgPerson:101\r\nPING\r\n",
)
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
HEADERS = (
    b"PROXY TCP4 198.51.100.7 203.0.113.1 40001 6379\r\n",
    b"PROXY TCP6 2001:db8::7 ::ffff:203.0.113.1 1 65535\r\n",
    b"PROXY UNKNOWN 198.51.100.7 anything\r\n",
    SIGNATURE + b"\x20\0\0\0",
    SIGNATURE + b"\x21\x11\0\x0c" + bytes(range(12)),
    SIGNATURE + b"\x21\x21\0\x2a" + bytes(range(36)) + b"\4\0\3abc",
    SIGNATURE + b"\x21\x31\0\xd8" + bytes(216),
)
TRACKED = (
    b"AUTH x\r\nHELLO 3\r\nTRACK 0\r\nMGET CfgPerson:101 CfgPerson:0102 CfgPerson:999\r\n"
    b"CHANGE 0 1\r\nGET CfgPerson:101\r\nSTRLEN CfgPerson:103\r\nCHANGE 2 3 0\r\nUNTRACK\r\n",
    b"AUTH x\r\nHELLO 3\r\nTRACK 1 CfgPerson:10 CfgSkill\r\nCHANGE 0 1 30\r\nGET x\r\n"
    b"SUBSCRIBE cfg\r\nCHANGE 2\r\nTRACK 9 CfgDN:\r\nWROTE 5\r\nRESET\r\n",
    b"AUTH x\r\nTRACK 34\r\nCACHING\r\nEXISTS CfgPerson:101 CfgPerson:102\r\nCHANGE 0\r\n"
    b"TYPE CfgPerson:101\r\nFORGET\r\nTELL CfgPerson:1 CfgPerson:2\r\nTELL\r\n",
    b"AUTH x\r\nHELLO 3\r\nTRACK 28\r\nGET CfgPerson:101\r\nCACHING\r\nGET CfgPerson:102\r\n"
    b"CHANGE 0 1\r\nGET CfgPerson:103\r\nTRACK 16\r\nCFG.FROM 1 0 7\r\nSUBSCRIBE cfg:*\r\n",
)
GLOBS = (b"cfg*\0cfg:CfgPerson", b"*a*a*a*b\0" + b"a" * 60, b"[^a-c]?\\*[\0xy*", b"[]-\0]")
LOOSE = (
    b"cfg:[A-Z]fg*[^5]?",
    b"cfg@4?1*:*[n\\o]*",
    b"*[:@]?fg[]-z]\\*",
    b"?" * 63,
)


def inputs() -> dict[str, list[bytes]]:
    """Per target, inputs that reach its rooms."""
    before, after = person(101), {**person(101), "revision": 2, "state": "disabled"}
    image = build_image(PERSON, after, 2, Nothing())
    delta = {"changed": {"state": "disabled"}}
    update = Change("update", PERSON, 101, before, after, delta)
    delete = Change("delete", PERSON, 102, person(102), None)
    place, accounts = (PERSON.id, 101), {SYSTEM: ALL | PROPAGATE, (PERSON.id, 102): 0}
    granted = build_grants(1, place, accounts, 2)
    entry = build_entry(
        2,
        7,
        0,
        {"account": "t"},
        [update, delete, GrantsChange("create", 1, place, accounts)],
        [image, b"", granted],
    )
    images = build_image(PERSON, person(101), 1, Nothing()) + build_grants(1, place, accounts, 1)
    json = orjson.dumps({"class": "CfgPerson", **person(101)})
    return {
        "parser": [bytes([flags, 6]) + line for line in LINES for flags in (0, 1)],
        "requests": list(LINES),
        "proxy": [bytes([at * 5, 0]) + head + LINES[at % 3] for at, head in enumerate(HEADERS)],
        "glob": list(GLOBS),
        "loose": [bytes([PERSON.id, 101, 0, 0, 0]) + pattern for pattern in LOOSE],
        "fields": [b"userName state\0" + json, b"firstName\0" + json[:130], b"a b\0" + json[-60:]],
        "tracking": list(TRACKED),
        "tls": [
            *(bytes([2, step, 0]) + line for line in LINES for step in (0, 255)),
            b"\0\0\0\3\1\0\5\1\0\0\1\0",
            b"\1\x20\0\0",
            b"\3\0\0\x17\3\3\0\5hello",
            b"\3\x40\0\x15\3\3\0\2\1\0",
        ],
        "feed": [b"\0" + images, b"\1" + entry, b"\2" + entry],
    }


def write() -> None:
    """Replaces the first inputs; those of findings keep their names."""
    for target, many in inputs().items():
        folder = CORPUS / target
        folder.mkdir(parents=True, exist_ok=True)
        for number, data in enumerate(many):
            (folder / f"seed-{number}").write_bytes(data)


if __name__ == "__main__":
    write()
