/* Redo after a kill: the writer may die between any two stores, its successors too, up to twice.

   A transaction changes an index word, a list word and a count. Order of the stores: intent (ring
   slot), list word, index word, count, publication. A list and a count carry the revision that made
   them; a successor applies published + 1 again if its intent is there, and leaves alone what
   carries that revision already. With -DBLIND it doesn't look: a count is then raised twice. */
#define CHANGES 2
#define DEATHS 2

byte intent = 0;      /* revision of the entry in the ring slot of published + 1, or older */
byte word = 0;        /* revision of the newest record */
byte list = 0;        /* members; a change adds one */
byte list_revision = 0;
byte count = 0;
byte count_revision = 0;
byte published = 0;
byte deaths = 0;
bool alive = true;

#define step if :: alive && deaths < DEATHS -> alive = false; deaths++; goto dead :: skip fi

inline carry_out(revision, redo) {
  if
#ifndef BLIND
  :: redo && list_revision == revision -> skip
#endif
  :: else -> atomic { list++; list_revision = revision }      /* one store: a new head */
  fi;
  step;
  word = revision;
  step;
  if
#ifndef BLIND
  :: redo && count_revision == revision -> skip
#endif
  :: else -> atomic { count++; count_revision = revision }    /* one store: a new cell */
  fi;
  step;
  published = revision
}

proctype writer() {
  byte next;
start:
  alive = true;
  if
  :: intent == published + 1 -> next = intent; carry_out(next, true)
  :: else -> skip
  fi;
  do
  :: published < CHANGES ->
     next = published + 1;
     step;
     intent = next;
     step;
     carry_out(next, false);
     step
  :: else -> break
  od;
  goto done;
dead:
  goto start;    /* the lock died with it: a successor begins */
done:
  skip
}

/* At any time: what a reader sees at `published` is whole. */
proctype reader() {
  byte at;
  atomic {
    at = published;
    assert(word >= at && list >= at && count >= at);            /* newer ones are followed by prev */
    assert(word <= at + 1 && list <= at + 1 && count <= at + 1)
  }
}

init {
  atomic { run writer(); run reader() }
  (_nr_pr == 1) -> assert(published == CHANGES && word == CHANGES && list == CHANGES && count == CHANGES)
}
