/* What is asked of the library before anything else of it is called. */

#include "native.h"

int revision(void) { return REVISION; }

/* Whether this processor has what the other functions need. */
int usable(void) { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }
