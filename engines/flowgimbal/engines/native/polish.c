/* The least squares within the flow network: the compiled road of networks/polish.py, which says what is done and why.
 *
 * The same numbers, but for rounding, as `smooth` and `least_squares` there make in turns. */

#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "native.h"

#define CELL 4 /* pixels across; every second one is looked at, down and across */
#define TERMS 9
#define WINDOW_REACH 2 /* cells to either side: of a window of least squares */
#define SMOOTH_REACH 3 /* and of smoothing */
#define SURENESS 5.0f
#define FARTHEST 2.0f
#define GRAIN 1e-3f
#define LEAST 1e-4f /* of a structure tensor, so that a flat one can be solved */

/* What is no number stays none: it must not pass for a step, or for sureness. */
static inline float clamped(float value, float most) { return value < -most ? -most : value > most ? most : value; }

/* The sum of each cell's neighbours up to `reach` cells away, itself among them, in place; outside all is nought. */
static inline AVX2 void box(float *cells, int rows, int columns, int reach, float *room) {
    float *line = room, *sums = room + columns + 2 * reach;
    memset(line, 0, (size_t)(columns + 2 * reach) * sizeof(float));
    for (int r = 0; r < rows; r++) {
        memcpy(line + reach, cells + (ptrdiff_t)r * columns, (size_t)columns * sizeof(float));
        for (int c = 0; c < columns; c++) {
            float sum = 0;
            for (int k = 0; k <= 2 * reach; k++) sum += line[c + k];
            sums[(ptrdiff_t)r * columns + c] = sum;
        }
    }
    for (int r = 0; r < rows; r++) {
        float *out = cells + (ptrdiff_t)r * columns;
        int top = r < reach ? 0 : r - reach, bottom = r + reach < rows ? r + reach : rows - 1;
        memset(out, 0, (size_t)columns * sizeof(float));
        for (int k = top; k <= bottom; k++)
            for (int c = 0; c < columns; c++) out[c] += sums[(ptrdiff_t)k * columns + c];
    }
}

/* `flow` (2, cells) averaged under `weight`, in place; `whole` is the weight's own sum around each cell. */
static AVX2 void smooth(float *flow, const float *weight, const float *whole, int rows, int columns, float *room) {
    int cells = rows * columns;
    for (int axis = 0; axis < 2; axis++, flow += cells) {
        for (int i = 0; i < cells; i++) flow[i] *= weight[i];
        box(flow, rows, columns, SMOOTH_REACH, room);
        for (int i = 0; i < cells; i++) flow[i] /= whole[i];
    }
}

/* Of every second pixel of a row, its index `y`: the slope across and down, and what the moved picture leaves of it. */
static AVX2 void compared(
    const float *first, const float *second, int height, int width, int y, const float *move_x, const float *move_y,
    float *slope_x, float *slope_y, float *left) {
    const float *here = first + (ptrdiff_t)y * width, *above = y ? here - width : here, *below = here + width;
    float most_x = (float)(width - 1), most_y = (float)(height - 1);
    for (int j = 0; j < width / 2; j++) {
        float x = move_x[j] + (float)(2 * j), y_there = move_y[j] + (float)y;
        float inside = x > 0 && x < most_x && y_there > 0 && y_there < most_y; /* not so if it is no number */
        x = within(x, 0, most_x);
        y_there = within(y_there, 0, most_y);
        int column = (int)x, row = (int)y_there;
        float right = x - (float)column, low = y_there - (float)row;
        const float *at = second + (ptrdiff_t)row * width + column;
        ptrdiff_t next = column < width - 1, down = row < height - 1 ? width : 0;
        float upper = at[0] + right * (at[next] - at[0]), lower = at[down] + right * (at[down + next] - at[down]);
        slope_x[j] = 0.5f * inside * (here[2 * j + 1] - here[j ? 2 * j - 1 : 0]);
        slope_y[j] = 0.5f * inside * (below[2 * j] - above[2 * j]);
        left[j] = inside * (here[2 * j] - (upper + low * (lower - upper)));
    }
}

/* Adds what one row of pixels gives to the sums of a row of cells; `terms` (TERMS, cells). */
static AVX2 void added(const float *x, const float *y, const float *t, int columns, float *terms, ptrdiff_t cells) {
    for (int c = 0; c < columns; c++) {
        float x0 = x[2 * c], x1 = x[2 * c + 1], y0 = y[2 * c], y1 = y[2 * c + 1], t0 = t[2 * c], t1 = t[2 * c + 1];
        terms[c] += x0 * x0 + x1 * x1;
        terms[cells + c] += x0 * y0 + x1 * y1;
        terms[2 * cells + c] += y0 * y0 + y1 * y1;
        terms[3 * cells + c] += x0 * t0 + x1 * t1;
        terms[4 * cells + c] += y0 * t0 + y1 * t1;
        terms[5 * cells + c] += t0 * t0 + t1 * t1;
        terms[6 * cells + c] += x0 + x1;
        terms[7 * cells + c] += y0 + y1;
        terms[8 * cells + c] += t0 + t1;
    }
}

#define PART (1.0f / (4 * (2 * WINDOW_REACH + 1) * (2 * WINDOW_REACH + 1)))

/* Of each cell's window, the structure tensor around its mean, (xx, xy, yy). */
static inline AVX2 void tensor(const float *at, ptrdiff_t cells, float *xx, float *xy, float *yy) {
    float mx = PART * at[6 * cells], my = PART * at[7 * cells];
    float x = PART * at[0] - mx * mx, y = PART * at[2 * cells] - my * my;
    *xx = x < 0 ? 0 : x; /* what is no number stays none */
    *xy = PART * at[cells] - mx * my;
    *yy = y < 0 ? 0 : y;
}

/* Solves each cell's window: the step (2, cells). */
static AVX2 void solved(const float *terms, int cells, float *step) {
    for (int i = 0; i < cells; i++) {
        const float *at = terms + i;
        float xx, xy, yy, mt = PART * at[8 * cells];
        tensor(at, cells, &xx, &xy, &yy);
        float xt = PART * at[3 * cells] - PART * at[6 * cells] * mt;
        float yt = PART * at[4 * cells] - PART * at[7 * cells] * mt;
        xx += LEAST;
        yy += LEAST;
        float determinant = xx * yy - xy * xy;
        step[i] = clamped((yy * xt - xy * yt) / (determinant + 1e-7f), FARTHEST);
        step[cells + i] = clamped((xx * yt - xy * xt) / (determinant + 1e-7f), FARTHEST);
    }
}

/* Three numbers that tell how far to trust each cell's step (3, cells), and the texture (3, cells). */
static AVX2 void told(const float *terms, int cells, float *tell, float *texture) {
    for (int i = 0; i < cells; i++) {
        const float *at = terms + i;
        float xx, xy, yy, mt = PART * at[8 * cells], tt = PART * at[5 * cells] - mt * mt;
        tensor(at, cells, &xx, &xy, &yy);
        float square = xx * yy - xy * xy;
        square = square < 0 ? 0 : square; /* no difference of large numbers after it: nothing below zero */
        float whole = square + GRAIN * (xx + yy + GRAIN);
        texture[i] = (square + GRAIN * xx) / whole;
        texture[cells + i] = GRAIN * xy / whole;
        texture[2 * cells + i] = (square + GRAIN * yy) / whole;
        xx += LEAST;
        yy += LEAST;
        float trace = xx + yy;
        tell[i] = trace;
        tell[cells + i] = (xx * yy - xy * xy) / trace + 1e-6f;
        tell[2 * cells + i] = (tt < 0 ? 0 : tt) + 1e-4f;
    }
}

/* `first` and `second` are soft pictures (height, width), both multiples of CELL; `flow` (2, rows, columns) and
 * `log_scale` (rows, columns) are of its cells. Fills `change` and `step` (2, rows, columns), `tell` (3, rows,
 * columns) before its logarithm is taken, and `texture` (3, rows, columns). 0 if there is no memory. */
AVX2 int polish(
    const float *first, const float *second, int height, int width, const float *flow, const float *log_scale,
    float *change, float *step, float *tell, float *texture) {
    int rows = height / CELL, columns = width / CELL;
    size_t cells = (size_t)rows * columns, wide = (size_t)width / 2;
    float *room = malloc((cells * (TERMS + 5) + wide * 5 + columns + 2 * SMOOTH_REACH) * sizeof(float));
    if (!room) return 0;
    float *terms = room, *start = terms + TERMS * cells, *weight = start + 2 * cells, *whole = weight + cells;
    float *move_x = whole + cells, *move_y = move_x + wide, *slope_x = move_y + wide, *slope_y = slope_x + wide;
    float *left = slope_y + wide, *aside = left + wide;
    for (size_t i = 0; i < cells; i++) whole[i] = weight[i] = expf(-clamped(log_scale[i], SURENESS));
    box(whole, rows, columns, SMOOTH_REACH, aside);
    memcpy(start, flow, 2 * cells * sizeof(float));
    smooth(start, weight, whole, rows, columns, aside);

    for (int pass = 0; pass < 2; pass++) {
        float *found = pass ? change : step; /* where to go from `start` */
        memset(terms, 0, TERMS * cells * sizeof(float));
        for (int row = 0; row < height / 2; row++) {
            enlarged(start, rows, columns, row, aside, move_x);
            enlarged(start + cells, rows, columns, row, aside, move_y);
            compared(first, second, height, width, 2 * row, move_x, move_y, slope_x, slope_y, left);
            added(slope_x, slope_y, left, columns, terms + (size_t)(row / 2) * columns, (ptrdiff_t)cells);
        }
        for (int term = 0; term < TERMS; term++) box(terms + term * cells, rows, columns, WINDOW_REACH, aside);
        solved(terms, (int)cells, found);
        if (!pass) told(terms, (int)cells, tell, texture);
        for (size_t i = 0; i < 2 * cells; i++) start[i] += found[i];
        smooth(start, weight, whole, rows, columns, aside);
    }
    for (size_t i = 0; i < 2 * cells; i++) change[i] = start[i] - flow[i];
    free(room);
    return 1;
}
