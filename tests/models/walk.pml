/* A successor that changes the store before it knows what memory is free, and walks meanwhile.

   Block 0 was retired by the dead writer, nobody knows that; a reader that was pinned before the
   takeover may still hold it. Blocks 1 and 2 are the versions that two index words refer to at the
   takeover. The successor replaces both by fresh blocks, in any order with the steps of its walk, which
   marks what a word refers to when it comes by. Old blocks that it has not marked at the end are free
   once readers are gone (merge); retired ones are freed one by one.

   As built: what was retired since the takeover is marked at the end of the walk, and nothing is freed
   before. With -DUNMARKED that mark is left out: a block is given away twice. With -DEARLY retired
   blocks are freed while the walk goes on: it then marks, or misses, what is no longer there. */
#define OLD 3

byte word[2];             /* number of the block; OLD and beyond are fresh */
bool marked[OLD];
byte given[OLD];          /* how often a block was given to the free ones */
bool retired[OLD];
bool reader_in = true;    /* pinned since before the takeover; may hold any old block */
byte walked = 0;
bool merged = false;

inline give(block) {
  assert(!reader_in);     /* else it is used again under the reader */
  given[block]++;
  assert(given[block] == 1)
}

inline replace(i) {
  retired[word[i]] = true;
  word[i] = OLD
}

inline walk() {
  if
  :: word[walked] < OLD -> assert(given[word[walked]] == 0); marked[word[walked]] = true
  :: else -> skip
  fi;
  walked++
}

inline end_of_walk() {
#ifndef UNMARKED
  if :: retired[1] -> marked[1] = true :: else -> skip fi;
  if :: retired[2] -> marked[2] = true :: else -> skip fi;
#endif
  walked = 3
}

inline merge() {
  if :: !marked[0] -> give(0) :: else -> skip fi;
  if :: !marked[1] -> give(1) :: else -> skip fi;
  if :: !marked[2] -> give(2) :: else -> skip fi;
  merged = true
}

inline free_retired(block) {
  retired[block] = false;
  give(block)
}

proctype writer() {
  byte changes = 0;
  do
  :: walked < 2 -> atomic { walk() }
  :: walked == 2 -> atomic { end_of_walk() }
  :: walked == 3 && !merged && !reader_in -> atomic { merge() }
  :: changes < 2 && word[0] < OLD -> atomic { replace(0); changes++ }
  :: changes < 2 && word[1] < OLD -> atomic { replace(1); changes++ }
#ifdef EARLY
  :: !reader_in && retired[1] -> atomic { free_retired(1) }
  :: !reader_in && retired[2] -> atomic { free_retired(2) }
#else
  :: merged && retired[1] -> atomic { free_retired(1) }
  :: merged && retired[2] -> atomic { free_retired(2) }
#endif
  :: merged && !retired[1] && !retired[2] && changes == 2 -> break
  od;
  assert(given[0] == 1 && given[1] == 1 && given[2] == 1)
}

proctype reader() {
  reader_in = false
}

init {
  atomic {
    word[0] = 1;
    word[1] = 2;
    run writer();
    run reader()
  }
}
