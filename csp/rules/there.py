"""Checks that what an object refers to is there, for who refers to it."""

from __future__ import annotations

from csp import errors
from csp.model.extract import Object as JsonObject
from csp.model.types import CLASSES
from csp.rules.hidden import is_there
from csp.rules.references import FOLDER_PATH, references_of, referring
from csp.rules.transaction import Touched, Transaction


def check_references(tx: Transaction, touched: Touched, obj: JsonObject) -> None:
    """Raises NoRef for the first reference that names nothing; those that stay were checked."""
    if touched.references is not None:
        return  # what a deletion left of an object that no command changed: all was there before
    if not touched.differs_in(referring(touched.cls)):
        return
    touched.references = references_of(touched.cls, obj)
    for site, class_name, dbid in touched.references:
        if site.path == FOLDER_PATH:
            continue  # its own check says more
        if not class_name:
            raise errors.NoRef(
                f"{touched.shown} {site.path}: that type is not kept here, "
                f"so there is no DBID {dbid} of it"
            )
        if not is_there(tx, touched, (CLASSES[class_name].id, dbid)):
            raise errors.NoRef(f"{touched.shown} {site.path}: there is no {class_name}:{dbid}")
