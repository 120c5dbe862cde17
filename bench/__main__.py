"""The command `bin/bench`: one verb a benchmark."""

import click

from bench.client import client
from bench.databases import databases
from bench.fair import fair
from bench.fanout import fanout
from bench.filter import filtered
from bench.find import find
from bench.get import get
from bench.grants import grants
from bench.held import held
from bench.instructions.measure import instructions
from bench.join import join
from bench.link import link
from bench.loads import load
from bench.memory import memory
from bench.pipeline import pipeline
from bench.pool import pool
from bench.push import push
from bench.recovery import recovery
from bench.resume import resume
from bench.rights import rights
from bench.scale import scale
from bench.scrub import scrub
from bench.snapshot import snapshot
from bench.soak import soak
from bench.sparse import sparse
from bench.storm import storm
from bench.switchover import switchover
from bench.takeover import takeover
from bench.tls import tls
from bench.tracking import tracking
from bench.turns import turns
from bench.workers import workers
from bench.write import write


@click.group()
def main() -> None:
    """Measures csp beside its peers, prints the figures, exits 1 with the rows that fall short."""


main.add_command(client)
main.add_command(databases)
main.add_command(get)
main.add_command(grants)
main.add_command(instructions)
main.add_command(fair)
main.add_command(fanout)
main.add_command(held)
main.add_command(filtered)
main.add_command(find)
main.add_command(join)
main.add_command(link)
main.add_command(load)
main.add_command(memory)
main.add_command(pipeline)
main.add_command(pool)
main.add_command(push)
main.add_command(recovery)
main.add_command(resume)
main.add_command(rights)
main.add_command(scale)
main.add_command(scrub)
main.add_command(soak)
main.add_command(tracking)
main.add_command(turns)
main.add_command(workers)
main.add_command(snapshot)
main.add_command(write)
main.add_command(sparse)
main.add_command(storm)
main.add_command(switchover)
main.add_command(takeover)
main.add_command(tls)

if __name__ == "__main__":
    main(prog_name="bench")
