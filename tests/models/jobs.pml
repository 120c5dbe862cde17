/* Several long reads of one worker in one slot: it shows the oldest epoch of those that go on, and
   raises it step by step as they end.

   Each read loads the epoch for itself, then its revision S (the fence between is proven in epoch.pml),
   and looks at the version of S once more at its end. One that begins while another goes on leaves the
   slot as it is: an older announcement protects more. When the older one ends, the slot is raised to
   the epoch that the younger one had loaded, not to the present one. With -DLATE a read loads its epoch
   after its S, with -DPRESENT the slot is raised to the present epoch: both free a version too early. */
#define CHANGES 4

byte word = 1;            /* number of the newest version; version v was made by revision v, its prev is v - 1 */
byte published = 1;
byte epoch = 1;
byte seen = 0;
bool freed[CHANGES + 2];
byte at, found;

inline visible(s) {
  found = word;
  do
  :: assert(!freed[found]);
     if
     :: found > s -> found = found - 1
     :: else -> break
     fi
  od;
  assert(found == s)
}

inline begin(own, s) {
#ifdef LATE
  s = published;
  own = epoch
#else
  own = epoch;
  if
  :: seen == 0 -> seen = own
  :: else -> skip
  fi;
  s = published
#endif
}

proctype worker() {
  byte first, second, s1, s2;
#ifdef LATE
  first = epoch;
  seen = first;
  s1 = published;
#else
  begin(first, s1);
#endif
  visible(s1);
  begin(second, s2);
  visible(s2);
  visible(s1);                     /* the older one goes on meanwhile, then ends */
#ifdef PRESENT
  seen = epoch;
#else
  seen = second;
#endif
  visible(s2);
  visible(s2);
  seen = 0
}

proctype writer() {
  byte made = 2, retired;
  do
  :: made <= CHANGES ->
     word = made;
     published = made;
     retired = epoch;
     epoch = epoch + 1;
     do
     :: seen == 0 || seen > retired -> freed[made - 1] = true; break
     :: else -> skip
     od;
     made++
  :: else -> break
  od
}

init { atomic { run worker(); run writer() } }
