/* What the files of the library share. */

#include <stddef.h>

#define REVISION 4 /* of what is called from Python: as in __init__.py */
#define AVX2 __attribute__((target("avx2,fma")))

/* What is no number is the least: it leads nowhere. */
static inline float within(float value, float least, float most) {
    float high = value > least ? value : least;
    return high < most ? high : most;
}

/* One row, its index `row`, of a plane (rows, columns) made twice as large in both directions: bilinear between cells'
 * centres. `line` has room for columns + 2. */
static inline AVX2 void enlarged(const float *plane, int rows, int columns, int row, float *line, float *out) {
    int near = row / 2, far = row % 2 ? near + 1 : near - 1;
    const float *one = plane + (ptrdiff_t)near * columns;
    const float *other = far < 0 || far == rows ? one : plane + (ptrdiff_t)far * columns;
    for (int c = 0; c < columns; c++) line[c + 1] = 0.75f * one[c] + 0.25f * other[c];
    line[0] = line[1];
    line[columns + 1] = line[columns];
    for (int c = 0; c < columns; c++) {
        out[2 * c] = 0.75f * line[c + 1] + 0.25f * line[c];
        out[2 * c + 1] = 0.75f * line[c + 1] + 0.25f * line[c + 2];
    }
}
