/* What the files of the library share. */

#define REVISION 2 /* of what is called from Python: as in __init__.py */
#define AVX2 __attribute__((target("avx2,fma")))
