"""Writes the dumps of the tables' present form, with rows, for the test of later migrations.

Run `python -m tests.data.schema.dump` before a release whose `schema.VERSION` is new, and keep the
two files that it writes: they are what databases of that release look like.
"""

from __future__ import annotations

import sqlite3
import subprocess
import tempfile
from pathlib import Path

from csp.master import schema
from tests.needs import postgres_folder
from tests.neighbours.databases import Place, PostgresPlace, SqlitePlace, with_tables
from tests.neighbours.postgres import Postgres
from tests.unit.master_stage import Stage

FOLDER = Path(__file__).resolve().parent
WRITE_ID = "kept"  # of the last change


def fill(place: Place) -> None:
    """Rows in every table: objects with names and references, a hash, a deletion, a write id."""
    stage = Stage(place)
    skill = stage.create("CfgSkill", tenantDBID=1, name="Čeština")
    gone = stage.create("CfgSkill", tenantDBID=1, name="gone")
    info = {"skillLevels": [{"skillDBID": skill, "level": 3}]}
    stage.create("CfgPerson", tenantDBID=1, userName="ann", employeeID="1", isAgent=True,
                 agentInfo=info, password="0a1b", passwordHashAlgorithm=1)  # fmt: skip
    assert stage.write("CFG.GRANT", f"CfgSkill:{skill}", "CfgPerson:100", "R,X").error is None
    stage.delete("CfgSkill", gone)
    outcome = stage.write("CFG.CREATE", "CfgSkill", {"tenantDBID": 1, "name": "last"},
                          write_id=WRITE_ID)  # fmt: skip
    assert outcome.error is None
    stage.origin.note_stop()  # so that no holder is named
    stage.close()


def dump_sqlite(path: Path) -> str:
    connection = sqlite3.connect(path)
    text = "\n".join(connection.iterdump()) + "\n"
    connection.close()
    return text


def dump_postgres(server: Postgres, name: str) -> str:
    program = str(postgres_folder() / "pg_dump")
    words = ["--inserts", "--no-owner", "--no-privileges", "-h", str(server.folder),
             "-p", str(server.port), "-U", server.user, name]  # fmt: skip
    text = subprocess.run([program, *words], capture_output=True, text=True, check=True).stdout
    # What is for psql alone goes: the dump is played back without it.
    kept = [line for line in text.splitlines() if line and not line.startswith(("\\", "--"))]
    return "\n".join(line for line in kept if "set_config('search_path'" not in line) + "\n"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, Postgres() as server:
        file = SqlitePlace(Path(folder))
        fill(file)
        (FOLDER / f"{schema.VERSION}.sqlite.sql").write_text(dump_sqlite(file.path))
        place = PostgresPlace(server, with_tables(server))
        fill(place)
        (FOLDER / f"{schema.VERSION}.postgresql.sql").write_text(dump_postgres(server, place.name))


if __name__ == "__main__":
    main()
