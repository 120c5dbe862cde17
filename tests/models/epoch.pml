/* The hand-over of memory between one writer and one reader, with the reader's store buffer (x86-TSO).

   The reader announces the epoch, then loads the index word; its stores wait in a buffer that is
   drained at any time. The writer replaces a version, raises the epoch, and frees the old version
   when the reader is offline or has announced a newer epoch.

   With -DFENCE (csp_swap in store_pin) no version is freed while the reader may touch it.
   Without it the reader's load overtakes its announcement: a use after free is found. */
#define VERSIONS 3

byte word = 1;            /* index word: the number of the version it refers to */
byte epoch = 1;           /* control.epoch */
byte seen = 0;            /* slot.seen as others see it; 0 offline */
bool freed[VERSIONS + 2];
chan buffer = [2] of { byte };
bool reader_done = false;

proctype drain() {
  byte value;
  do
  :: atomic { buffer?value -> seen = value }
  :: reader_done && empty(buffer) -> break
  od
}

proctype reader() {
  byte announced, version, turn = 0;
  do
  :: turn < 2 ->
     announced = epoch;             /* may be old by the time it is seen */
     buffer!announced;
#ifdef FENCE
     empty(buffer) ->
#endif
     version = word;
     assert(!freed[version]);       /* touches the record */
     assert(!freed[version]);       /* and again, later in the same turn */
     buffer!0;                      /* offline */
     turn++
  :: else -> break
  od;
  reader_done = true
}

proctype writer() {
  byte made = 2, retired;
  do
  :: made <= VERSIONS ->
     word = made;                   /* unlinks made - 1 */
     retired = epoch;
     epoch = epoch + 1;             /* a full fence */
     do
     :: seen == 0 || seen > retired -> freed[made - 1] = true; break
     :: else -> skip
     od;
     made++
  :: else -> break
  od
}

init { atomic { run drain(); run reader(); run writer() } }
