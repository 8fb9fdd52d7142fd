/* What a level of the flow network sees: the compiled road of `correlate`, `warp_features` and the best match, of
 * networks/blocks.py and networks/flow.py, which say what is done and why. The same numbers, but for rounding.
 *
 * Maps are (channels, rows, columns); a level's cells are half as far apart as those of the level before. */

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "native.h"

#define TOGETHER 4 /* channels that are summed up at a time: their number is a multiple of it */

typedef struct {
    int channels, rows, columns;
} Size;

/* e to the power of `x`, to seven digits, up to 87 and no less than -87: the polynomial of Cephes' expf, without a
 * branch, so that the compiler makes eight at a time. */
static inline float exponential(float x) {
    x = within(x, -87, 87);
    float whole = floorf(x * 1.44269504f + 0.5f);
    x = x - whole * 0.693359375f + whole * 2.12194440e-4f;
    float sum = ((((1.9875691500e-4f * x + 1.3981999507e-3f) * x + 8.3334519073e-3f) * x + 4.1665795894e-2f) * x +
                 1.6666665459e-1f) * x + 5.0000001201e-1f;
    union { int32_t bits; float value; } two = {((int32_t)whole + 127) << 23};
    return (sum * x * x + x + 1) * two.value;
}

/* `map`, in a frame of `radius` cells of noughts, sampled at each cell's own place and `flow` (2, rows, columns)
 * further; without a flow as it is. The edge is repeated. `cells` has room for the map, channels last. */
static AVX2 void warped(const float *map, Size size, const float *flow, int radius, float *cells, float *out) {
    int count = size.rows * size.columns, wide = size.columns + 2 * radius, channels = size.channels;
    ptrdiff_t plane = (ptrdiff_t)(size.rows + 2 * radius) * wide;
    memset(out, 0, (size_t)(channels * plane) * sizeof(float));
    out += radius * wide + radius;
    if (!flow) {
        for (int k = 0; k < channels; k++)
            for (int r = 0; r < size.rows; r++)
                memcpy(out + k * plane + r * wide, map + ((ptrdiff_t)k * size.rows + r) * size.columns,
                    (size_t)size.columns * sizeof(float));
        return;
    }
    for (int k = 0; k < channels; k++)
        for (int i = 0; i < count; i++) cells[(ptrdiff_t)i * channels + k] = map[(ptrdiff_t)k * count + i];
    for (int r = 0; r < size.rows; r++)
        for (int c = 0; c < size.columns; c++) {
            int i = r * size.columns + c;
            float x = within(flow[i] + (float)c, 0, (float)(size.columns - 1));
            float y = within(flow[count + i] + (float)r, 0, (float)(size.rows - 1));
            int left = (int)x, top = (int)y;
            float right = x - (float)left, low = y - (float)top;
            ptrdiff_t next = left < size.columns - 1 ? channels : 0;
            ptrdiff_t below = top < size.rows - 1 ? (ptrdiff_t)size.columns * channels : 0;
            const float *at = cells + ((ptrdiff_t)top * size.columns + left) * channels;
            float *to = out + r * wide + c;
            for (int k = 0; k < channels; k++) {
                float upper = at[k] + right * (at[next + k] - at[k]);
                float lower = at[below + k] + right * (at[below + next + k] - at[below + k]);
                to[k * plane] = upper + low * (lower - upper);
            }
        }
}

/* The cost volume: the mean product of `first` with `second`, which is in a frame of `radius` cells, for each shift. */
static AVX2 void correlated(const float *first, const float *second, Size size, int radius, float *cost) {
    int columns = size.columns, wide = columns + 2 * radius;
    ptrdiff_t here_next = (ptrdiff_t)size.rows * columns, there_next = (ptrdiff_t)(size.rows + 2 * radius) * wide;
    float part = 1 / (float)size.channels;
    for (int dy = 0; dy <= 2 * radius; dy++)
        for (int dx = 0; dx <= 2 * radius; dx++)
            for (int r = 0; r < size.rows; r++, cost += columns) {
                memset(cost, 0, (size_t)columns * sizeof(float));
                for (int k = 0; k < size.channels; k += TOGETHER) {
                    const float *a = first + k * here_next + (ptrdiff_t)r * columns;
                    const float *b = second + k * there_next + (ptrdiff_t)(r + dy) * wide + dx;
                    const float *a1 = a + here_next, *a2 = a1 + here_next, *a3 = a2 + here_next;
                    const float *b1 = b + there_next, *b2 = b1 + there_next, *b3 = b2 + there_next;
                    for (int c = 0; c < columns; c++)
                        cost[c] += part * (a[c] * b[c] + a1[c] * b1[c] + a2[c] * b2[c] + a3[c] * b3[c]);
                }
            }
}

/* The best match (2, cells): the mean of all shifts, each weighted by the exponential of its cost. */
static AVX2 void matched(const float *cost, int cells, int radius, float sharpness, float *match, float *whole) {
    memset(match, 0, (size_t)cells * 2 * sizeof(float));
    memset(whole, 0, (size_t)cells * sizeof(float));
    for (int dy = -radius; dy <= radius; dy++)
        for (int dx = -radius; dx <= radius; dx++, cost += cells)
            for (int i = 0; i < cells; i++) {
                float weight = exponential((cost[i] - 1) * sharpness);
                match[i] += (float)dx * weight;
                match[cells + i] += (float)dy * weight;
                whole[i] += weight;
            }
    for (int i = 0; i < cells; i++) {
        match[i] /= whole[i];
        match[cells + i] /= whole[i];
    }
}

/* `first` and `second` are the keys to match, of `channels`, a multiple of TOGETHER; `flow` (2, rows / 2, columns / 2)
 * and `hidden` (hiddens, rows / 2, columns / 2) what the level before said, in its own cells, or null. Fills `seen` (lanes, rows,
 * columns): the cost volume; with `context` the keys, the second ones moved; what was hidden; flow and best match;
 * noughts. And `guess` (2, rows, columns), flow and match together. 0 if there is no memory. */
AVX2 int compare(
    const float *first, const float *second, int channels, int rows, int columns, int radius, float sharpness,
    const float *flow, const float *hidden, int hiddens, int context, float *seen, int lanes, float *guess) {
    Size size = {channels, rows, columns};
    int side = 2 * radius + 1;
    size_t cells = (size_t)rows * columns, framed = (size_t)(rows + 2 * radius) * (columns + 2 * radius);
    float *room = malloc((channels * (framed + cells) + 3 * cells + columns + 2) * sizeof(float));
    if (!room) return 0;
    float *there = room, *last = there + channels * framed, *moved = last + channels * cells;
    float *whole = moved + 2 * cells, *line = whole + cells, *end = seen + lanes * cells;
    if (flow) {
        for (int axis = 0; axis < 2; axis++)
            for (int r = 0; r < rows; r++)
                enlarged(flow + axis * cells / 4, rows / 2, columns / 2, r, line, moved + axis * cells + r * columns);
        for (size_t i = 0; i < 2 * cells; i++) moved[i] *= 2;
    } else {
        memset(moved, 0, 2 * cells * sizeof(float));
    }
    warped(second, size, flow ? moved : NULL, radius, last, there);
    correlated(first, there, size, radius, seen);
    float *cost = seen;
    seen += (size_t)(side * side) * cells;
    if (context) {
        memcpy(seen, first, channels * cells * sizeof(float));
        seen += channels * cells;
        for (int k = 0; k < channels; k++)
            for (int r = 0; r < rows; r++, seen += columns)
                memcpy(seen, there + k * framed + (size_t)(r + radius) * (columns + 2 * radius) + radius,
                    (size_t)columns * sizeof(float));
    }
    for (int k = 0; k < hiddens; k++)
        for (int r = 0; r < rows; r++, seen += columns) {
            const float *row = hidden + ((size_t)k * (rows / 2) + r / 2) * (columns / 2);
            for (int c = 0; c < columns; c++) seen[c] = row[c / 2];
        }
    memcpy(seen, moved, 2 * cells * sizeof(float));
    seen += 2 * cells;
    matched(cost, (int)cells, radius, sharpness, seen, whole);
    for (size_t i = 0; i < 2 * cells; i++) guess[i] = moved[i] + seen[i];
    seen += 2 * cells;
    memset(seen, 0, (size_t)(end - seen) * sizeof(float));
    free(room);
    return 1;
}
