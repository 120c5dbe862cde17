/* The rule of versions: a reader at S sees, of two objects changed in one transaction, both or none.

   Each transaction replaces both objects: index words first, one by one, then the publication.
   A reader loads S after its announcement (the fence is proven in epoch.pml) and follows `prev`
   while the version's revision is beyond S. A replaced version is retired after the publication
   that replaced it; with -DEARLY it is retired before: the reader at the older S then finds a
   freed version on its way. */
#define CHANGES 3

/* Version v of an object is the one made by revision v; its prev is v - 1, present from revision 1. */
byte word[2] = 1;
byte published = 1;
byte epoch = 1;
byte seen = 0;
bool freed[CHANGES + 2];  /* both objects' version v: they are retired together */
bool reader_done = false;

inline visible(object, at, found) {
  found = word[object];
  do
  :: assert(!freed[found]);              /* reads its revision */
     if
     :: found > at -> found = found - 1  /* follows prev */
     :: else -> break
     fi
  od
}

proctype reader() {
  byte turn = 0, at, first, second, last = 0;
  do
  :: turn < 2 ->
     seen = epoch;
     at = published;
     visible(0, at, first);
     visible(1, at, second);
     assert(first == at && second == at); /* whole, and exactly the state of S */
     assert(at >= last);                  /* never back in time */
     last = at;
     visible(0, at, first);               /* later in the turn: the same answer */
     assert(first == at);
     seen = 0;
     turn++
  :: else -> break
  od;
  reader_done = true
}

proctype writer() {
  byte made = 2, retired;
  do
  :: made <= CHANGES ->
     word[0] = made;
#ifdef EARLY
     retired = epoch;
     epoch = epoch + 1;
     do
     :: seen == 0 || seen > retired -> freed[made - 1] = true; break
     :: else -> skip
     od;
#endif
     word[1] = made;
     published = made;
#ifndef EARLY
     retired = epoch;
     epoch = epoch + 1;
     do
     :: seen == 0 || seen > retired -> freed[made - 1] = true; break
     :: else -> skip
     od;
#endif
     made++
  :: else -> break
  od
}

init { atomic { run reader(); run writer() } }
