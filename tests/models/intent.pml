/* One order for all words: a record's index word is stored after the intent, an account's too.

   The writer may die between any two stores. Its successor completes the entry whose intent it finds;
   else it takes as memory in use what the index words refer to, and their `prev` only where it completes
   an entry, and hands out the rest again. A reader at S, which knows nothing of the death, follows `prev`
   from the word. With -DEARLY the word is stored before the intent, as account words once were: a death
   in between leaves a word beyond S without an intent, the successor takes the version of S for free
   memory, and the next record is built upon it: its `prev` is itself, and the reader never comes to an end. */
#define CELLS 4
#define CHANGES 3
#define DEATHS 2
#define NONE 0

/* A cell of memory holds one version of the only object. */
byte revision[CELLS + 1];
byte prev[CELLS + 1];
bool used[CELLS + 1];         /* as the living writer knows it: private memory */

byte word = NONE;
byte intent = 0;              /* revision of the newest entry in the log */
byte block = NONE;            /* the record that it names */
byte published = 0;
byte epoch = 1;
byte seen = 0;                /* the reader's announcement; 0 offline */
byte deaths = 0;
bool is_over = false;

#define step if :: deaths < DEATHS -> deaths++; goto dead :: skip fi

/* The newest free cell: what was freed last is handed out first. */
inline allocate(cell) {
  cell = CELLS;
  do
  :: used[cell] -> cell--
  :: else -> break
  od;
  assert(cell != NONE);
  used[cell] = true
}

inline visible(at) {
  found = word;
  steps = 0;
  do
  :: found != NONE && revision[found] > at ->
     found = prev[found];
     steps++;
     assert(steps <= CELLS)     /* it ends */
  :: else -> break
  od;
  assert((at == 0 && found == NONE) || (found != NONE && revision[found] == at))
}

proctype reader() {
  byte at, found, steps;
  do
  :: !is_over ->
     seen = epoch;
     at = published;
     visible(at);
     visible(at);
     seen = 0
  :: else -> break
  od
}

proctype writer() {
  byte cell, old, retired;
  goto alive;
dead:
  /* The walk: what the successor knows of the memory. */
  atomic {
    cell = 1;
    do
    :: cell <= CELLS -> used[cell] = false; cell++
    :: else -> break
    od;
    if :: word != NONE -> used[word] = true :: else fi;
    if
    :: intent == published + 1 ->
       used[block] = true;
       if :: prev[block] != NONE -> used[prev[block]] = true :: else fi
    :: else
    fi
  };
  /* What nothing refers to is handed out once every reader that may have found it is gone. */
  retired = epoch;
  epoch = epoch + 1;
  do
  :: seen == 0 || seen > retired -> break
  od;
  if
  :: intent == published + 1 ->
     cell = block;
     old = prev[block];
     goto complete
  :: else
  fi;
alive:
  do
  :: published < CHANGES ->
     allocate(cell);
     old = word;
     atomic {
       /* A version that this revision has made already is replaced, not followed. */
       if
       :: old != NONE && revision[old] > published -> prev[cell] = prev[old]
       :: else -> prev[cell] = old
       fi;
       revision[cell] = published + 1
     };
#ifdef EARLY
     step;
     word = cell;
     step;
#endif
     step;
     atomic { block = cell; intent = published + 1 };   /* the entry names it */
     step;
complete:
     word = cell;
     step;
     published = published + 1;
     step;
     retired = epoch;
     epoch = epoch + 1;
     do
     :: seen == 0 || seen > retired -> break
     od;
     atomic { if :: old != NONE -> used[old] = false :: else fi }
  :: else -> break
  od;
  is_over = true
}

init { atomic { run writer(); run reader() } }
