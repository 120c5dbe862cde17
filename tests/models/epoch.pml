/* The hand-over of memory between one writer and one reader, each with a store buffer (x86-TSO; arm64
   buffers as well, and its fence, dmb ish, empties the buffer as here).

   The reader announces the epoch, then loads the index word; the writer replaces a version, raises the
   epoch, looks at the announcement, and frees the old version when the reader is offline or has
   announced a newer epoch. Stores wait in a buffer that is drained at any time.

   With both fences (csp_fence in store_pin and in oldest_seen) no version is freed while the reader
   may touch it. Without the reader's, its load overtakes its announcement; without the writer's, its
   look at the announcements overtakes the unlinking: a use after free is found in either case. */
#define VERSIONS 3

byte word = 1;            /* index word as others see it: the number of the version it refers to */
byte epoch = 1;           /* control.epoch */
byte seen = 0;            /* slot.seen as others see it; 0 offline */
bool freed[VERSIONS + 2];
chan announcing = [2] of { byte };
chan unlinking = [2] of { bool, byte };  /* whether it is the epoch; in the order of the stores (release) */
bool reader_done = false;
bool writer_done = false;

proctype drain() {
  byte value;
  do
  :: atomic { announcing?value -> seen = value }
  :: atomic { unlinking?false,value -> word = value }
  :: atomic { unlinking?true,value -> epoch = value }
  :: reader_done && writer_done && empty(announcing) && empty(unlinking) -> break
  od
}

proctype reader() {
  byte announced, version, turn = 0;
  do
  :: turn < 2 ->
     announced = epoch;             /* may be old by the time it is seen */
     announcing!announced;
#ifdef READER_FENCE
     empty(announcing) ->
#endif
     version = word;
     assert(!freed[version]);       /* touches the record */
     assert(!freed[version]);       /* and again, later in the same turn */
     announcing!0;                  /* offline */
     turn++
  :: else -> break
  od;
  reader_done = true
}

proctype writer() {
  byte made = 2, retired = 1;      /* nobody else stores the epoch */
  do
  :: made <= VERSIONS ->
     unlinking!false,made;          /* unlinks made - 1 */
     unlinking!true,(retired + 1);
#ifdef WRITER_FENCE
     empty(unlinking) ->
#endif
     do
     :: seen == 0 || seen > retired -> freed[made - 1] = true; break
     :: else -> skip
     od;
     made++;
     retired++
  :: else -> break
  od;
  writer_done = true
}

init { atomic { run drain(); run reader(); run writer() } }
