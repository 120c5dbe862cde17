"""How the raw form spells what the model spells otherwise: sections, flags, enumerations, annexes.

It is the published XML form of an object, turned into JSON element by element: an element that has
a value alone is that value, one that holds others is an object, and one that stands several times
is a list.
"""

from __future__ import annotations

from csp.model.types import CLASSES, ObjectClass

# What `formatName` says of such a file.
RAW_FORM = "RAW"
# Each section has the name of the published type of its objects.
SECTION_OF: dict[str, str] = {
    name: "CFG" + name.removeprefix("Cfg") for name in CLASSES
}  # fmt: skip
CLASS_OF_SECTION: dict[str, ObjectClass] = {
    SECTION_OF[cls.name]: cls for cls in CLASSES.values()
}  # fmt: skip

# CfgFlag as published: 0 says nothing.
FLAG_NONE, FLAG_FALSE, FLAG_TRUE = 0, 1, 2

# The element of one DBID in a list of them.
DBID = "DBID"
# An annex: sections, and in each the pairs by the kind of their value.
SECTION_PAIR = "list_pair"
STRING_PAIR, INT_PAIR, BINARY_PAIR = "str_pair", "int_pair", "bin_pair"
