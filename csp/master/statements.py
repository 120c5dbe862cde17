"""Holds the statements that a change and its questions are made of, built once for all dialects.

Names that end in an underscore are of keys: SQLAlchemy keeps the plain ones for new values.
"""

from __future__ import annotations

from sqlalchemy import (
    Integer,
    and_,
    bindparam,
    delete,
    func,
    insert,
    literal_column,
    or_,
    select,
    text,
    update,
)

from csp.master import schema
from csp.model.types import CLASSES
from csp.rules.references import needing_paths

_this_object = {
    table.name: and_(table.c.class_id == bindparam("class_id_"), table.c.dbid == bindparam("dbid_"))
    for table in (schema.objects, schema.unique_names, schema.accounts)
}
_refs_of = and_(
    schema.refs.c.from_class == bindparam("class_id_"),
    schema.refs.c.from_dbid == bindparam("dbid_"),
)
TOUCH_HEAD = update(schema.head).values(revision=schema.head.c.revision)
LOCK_HEAD = select(schema.head.c.fence, schema.head.c.revision).with_for_update()
MOVE_HEAD = (
    update(schema.head)
    .where(
        schema.head.c.fence == bindparam("fence_"), schema.head.c.revision == bindparam("revision_")
    )
    .values(
        revision=schema.head.c.revision + bindparam("moves"),
        mark=bindparam("mark"),
        time_ms=bindparam("time_ms"),
        beat=schema.head.c.beat + 1,
    )
)
# Of the lease (csp/master/lease.py).
LOOK = select(
    *(schema.head.c[name] for name in ("fence", "revision", "mark", "time_ms", "stream")),
    *(schema.head.c[name] for name in ("beat", "heir", "holder")),
)
TAKE = (
    update(schema.head)
    .where(schema.head.c.fence == bindparam("fence_"), schema.head.c.beat == bindparam("beat_"))
    .values(
        fence=bindparam("fence"),
        beat=schema.head.c.beat + 1,
        holder=bindparam("holder"),
        heir=literal_column("''"),
    )
)
_our_head = update(schema.head).where(schema.head.c.fence == bindparam("fence_"))
RENEW = _our_head.values(beat=schema.head.c.beat + 1, holder=bindparam("holder"))
RELEASE = _our_head.values(
    beat=schema.head.c.beat + 1, heir=bindparam("heir"), holder=literal_column("''")
)
END_BACKEND = text(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE pid = :pid AND extract(epoch FROM backend_start)::text = :start"
)
STANDBYS = select(schema.standbys.c.name, schema.standbys.c.beat, schema.standbys.c.told)
TELL_STANDBY = (
    update(schema.standbys)
    .where(schema.standbys.c.name == bindparam("name_"))
    .values(beat=schema.standbys.c.beat + 1, told=bindparam("told"))
)
ADD_STANDBY = insert(schema.standbys)
DROP_STANDBY = delete(schema.standbys).where(schema.standbys.c.name == bindparam("name_"))
INSERT = {
    table.name: insert(table)
    for table in (
        schema.objects,
        schema.unique_names,
        schema.refs,
        schema.accounts,
        schema.grants,
        schema.entries,
        schema.history,
        schema.writes,
        schema.token_keys,
        schema.pairs,
    )
}
UPDATE_OBJECT = (
    update(schema.objects)
    .where(_this_object["objects"])
    .values(
        tenant=bindparam("tenant"),
        folder=bindparam("folder"),
        revision=bindparam("revision"),
        body=bindparam("body"),
        flags=bindparam("flags"),
    )
)
DELETE_OBJECT = delete(schema.objects).where(_this_object["objects"])
DELETE_NAMES = delete(schema.unique_names).where(_this_object["unique_names"])
DELETE_ACCOUNT = delete(schema.accounts).where(_this_object["accounts"])
DELETE_GRANTS = delete(schema.grants).where(schema.grants.c.number == bindparam("number_"))
DELETE_TOKEN_KEY = delete(schema.token_keys).where(schema.token_keys.c.id == bindparam("id_"))
DELETE_PAIR = delete(schema.pairs).where(schema.pairs.c.pair == bindparam("pair_"))
DELETE_REFS = delete(schema.refs).where(_refs_of)
# By the index on those that refer: the one on what is referred to may have 10,000 rows of the same.
DELETE_REF = delete(schema.refs).where(
    *(schema.refs.c[name] == bindparam(name) for name in ("from_class", "from_dbid", "path")),
    *(
        literal_column(f"refs.{name} + 0") == bindparam(name, type_=Integer)
        for name in ("to_class", "to_dbid")
    ),
)
MOVE_COUNTER = (
    update(schema.counters)
    .where(schema.counters.c.class_id == bindparam("class_id_"))
    .values(next_dbid=bindparam("next_dbid"))
)
NAME_OWNER = select(schema.unique_names.c.dbid).where(
    *(
        schema.unique_names.c[name] == bindparam(name)
        for name in ("class_id", "rule", "scope", "value")
    )
)
ACCOUNT = select(
    *(schema.accounts.c[name] for name in ("user_name", "algorithm", "hash", "revision", "facts"))
).where(_this_object["accounts"])
GRANTS_OF = select(
    schema.grants.c.number,
    schema.grants.c.account_class,
    schema.grants.c.account_dbid,
    schema.grants.c.rights,
).where(
    schema.grants.c.class_id == bindparam("class_id_"), schema.grants.c.dbid == bindparam("dbid_")
)
GRANTED_TO = (
    select(schema.grants.c.class_id, schema.grants.c.dbid)
    .where(
        schema.grants.c.account_class == bindparam("account_class"),
        schema.grants.c.account_dbid == bindparam("account_dbid"),
    )
    .order_by(schema.grants.c.class_id, schema.grants.c.dbid)
    .limit(bindparam("most"))
)
WRITE = select(schema.writes.c.digest, schema.writes.c.result).where(
    schema.writes.c.id == bindparam("id"),
    or_(schema.writes.c.account == bindparam("account"), schema.writes.c.account == 0),
)
OBJECTS_AFTER = (
    select(
        schema.objects.c.dbid,
        schema.objects.c.revision,
        schema.objects.c.body,
        schema.objects.c.flags,
    )
    .where(
        schema.objects.c.class_id == bindparam("class_id_"),
        schema.objects.c.dbid > bindparam("after"),
    )
    .order_by(schema.objects.c.dbid)
    .limit(bindparam("most"))
)
_next = OBJECTS_AFTER.subquery()
_bytes = func.octet_length(_next.c.body)
_summed = select(_next, (func.sum(_bytes).over(order_by=_next.c.dbid) - _bytes).label("before"))
_chunk = _summed.subquery()
# PostgreSQL knows the size of a body without reading it.
OBJECTS_WITHIN = (
    select(_chunk.c.dbid, _chunk.c.revision, _chunk.c.body, _chunk.c.flags)
    .where(_chunk.c.before < bindparam("bytes_max"))
    .order_by(_chunk.c.dbid)
)
GROUPS_LISTING = (
    select(schema.refs.c.from_dbid)
    .where(
        schema.refs.c.to_class == bindparam("to_class"),
        schema.refs.c.to_dbid == bindparam("to_dbid"),
        schema.refs.c.from_class == literal_column(str(CLASSES["CfgAccessGroup"].id)),
        schema.refs.c.path == literal_column("'memberIDs[]'"),
    )
    .order_by(schema.refs.c.from_dbid)
)
_referrers = (
    select(schema.refs.c.from_class, schema.refs.c.from_dbid)
    .where(
        schema.refs.c.to_class == bindparam("to_class"),
        schema.refs.c.to_dbid == bindparam("to_dbid"),
    )
    .order_by(schema.refs.c.from_class, schema.refs.c.from_dbid)
    .limit(bindparam("most"))
)
REFERRERS = _referrers.distinct()
REFERRERS_OF_CLASSES = REFERRERS.where(
    or_(
        schema.refs.c.from_class == bindparam("first"),
        schema.refs.c.from_class == bindparam("second"),
    )
)
NEEDERS = _referrers.add_columns(schema.refs.c.path).where(
    or_(
        *(
            and_(
                schema.refs.c.from_class == literal_column(str(class_id)),
                schema.refs.c.path == literal_column(f"'{path}'"),
            )
            for class_id, path in sorted(needing_paths())
        )
    )
)
