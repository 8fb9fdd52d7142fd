/* Fits the global motion to a field of flow: the compiled road of the server's motion.py, which says what is done and
 * why. The same numbers, but for rounding: hundreds of small steps, of which each is soon done and dearly called. */

#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "native.h"

#define MOST_LANES 16
#define PAIRS(lanes) ((lanes) * ((lanes) + 1) / 2)
#define BESIDE 0.15f /* pixels beside a scale, so that no cell is surer than all others together */

typedef struct {
    double value, weight;
} Weighed;

/* Fields of motion: `rows` (lanes, 2, cells), `products` (cells, PAIRS) of each two of them, `ridge` (lanes). */
typedef struct {
    const double *rows, *products, *ridge;
    int lanes;
} Fields;

/* Cells, (2, cells) or (cells), and room to work in. */
typedef struct {
    int cells;
    double *target, *prior, *left, *square, *weight;
    Weighed *sorting; /* three times as many as there are values to sort */
} Work;

/* The first value, from below, with half of the weight up to it: quick selection. What is no number counts as equal to
 * each it is compared with: there is an end to it, and what it makes of the rest is no motion that is believed. */
static double median(Weighed *from, int count) {
    Weighed *low = from + count, *high = low + count;
    double half = 0, below = 0;
    for (int i = 0; i < count; i++) half += from[i].weight / 2;
    while (count > 1) {
        double a = from[0].value, b = from[count / 2].value, c = from[count - 1].value;
        double pivot = fmax(fmin(a, b), fmin(fmax(a, b), c)), light = 0, even = 0;
        int lows = 0, highs = 0;
        for (int i = 0; i < count; i++) { /* without a branch: none could be foreseen */
            Weighed one = from[i];
            int less = one.value < pivot, more = one.value > pivot;
            low[lows] = high[highs] = one;
            lows += less;
            highs += more;
            light += less ? one.weight : 0;
            even += less || more ? 0 : one.weight;
        }
        Weighed *free = from;
        if (lows && below + light >= half) {
            from = low;
            low = free;
            count = lows;
        } else if (!highs || below + light + even >= half) {
            return pivot;
        } else {
            below += light + even;
            from = high;
            high = free;
            count = highs;
        }
    }
    return from[0].value;
}

static double weighted_median(const Work *work, const double *values, const double *weights) {
    for (int i = 0; i < work->cells; i++) work->sorting[i] = (Weighed){values[i], weights[i]};
    return median(work->sorting, work->cells);
}

/* Solves a symmetric system, the lower half of `matrix`, in place (Cholesky); no numbers where it cannot be solved. */
static void solve(int n, double matrix[][MOST_LANES], double *side) {
    for (int i = 0; i < n; i++) {
        for (int j = 0; j <= i; j++) {
            double sum = matrix[i][j];
            for (int k = 0; k < j; k++) sum -= matrix[i][k] * matrix[j][k];
            matrix[i][j] = i == j ? sqrt(sum) : sum / matrix[j][j];
        }
        for (int k = 0; k < i; k++) side[i] -= matrix[i][k] * side[k];
        side[i] /= matrix[i][i];
    }
    for (int i = n - 1; i >= 0; i--) {
        for (int k = i + 1; k < n; k++) side[i] -= matrix[k][i] * side[k];
        side[i] /= matrix[i][i];
    }
}

static inline AVX2 void subtract(const double *row, double much, int count, double *from) {
    for (int i = 0; i < count; i++) from[i] -= much * row[i];
}

/* The coefficients with which the fields explain `motion` best, under the weights at work. */
static AVX2 void least_squares(const Fields *fields, const Work *work, const double *motion, double *coefficients) {
    double sums[PAIRS(MOST_LANES)] = {0}, matrix[MOST_LANES][MOST_LANES];
    int pairs = PAIRS(fields->lanes), cells = work->cells;
    for (int i = 0; i < cells; i++) {
        const double *product = fields->products + (ptrdiff_t)i * pairs;
        double weight = work->weight[i];
        for (int k = 0; k < pairs; k++) sums[k] += weight * product[k];
    }
    for (int lane = 0, pair = 0; lane < fields->lanes; lane++) {
        const double *x = fields->rows + (ptrdiff_t)2 * lane * cells, *y = x + cells;
        double parts[4] = {0}; /* the compiler may not change the order of a sum: this one suits it */
        for (int i = 0; i + 3 < cells; i += 4)
            for (int j = i; j < i + 4; j++)
                parts[j - i] += work->weight[j] * (motion[j] * x[j] + motion[cells + j] * y[j]);
        for (int j = cells & ~3; j < cells; j++)
            parts[0] += work->weight[j] * (motion[j] * x[j] + motion[cells + j] * y[j]);
        coefficients[lane] = parts[0] + parts[1] + parts[2] + parts[3];
        for (int other = 0; other <= lane; other++) matrix[lane][other] = sums[pair++];
        matrix[lane][lane] += fields->ridge[lane];
    }
    solve(fields->lanes, matrix, coefficients);
}

/* One round of reweighted least squares (Geman-McClure): what the coefficients left of `motion`, then better ones. */
static AVX2 void reweighted(
    const Fields *fields, const Work *work, const double *motion, double spread, double *left, double *coefficients) {
    int cells = work->cells;
    memcpy(left, motion, 2 * cells * sizeof(double));
    for (int lane = 0; lane < fields->lanes; lane++)
        subtract(fields->rows + (ptrdiff_t)2 * lane * cells, coefficients[lane], 2 * cells, left);
    for (int i = 0; i < cells; i++) {
        double square = left[i] * left[i] + left[cells + i] * left[cells + i], apart = 1 + square / (spread * spread);
        work->square[i] = square;
        work->weight[i] = work->prior[i] / (apart * apart);
    }
    least_squares(fields, work, motion, coefficients);
}

/* The sureness-weighted mean of each 2x2 cells of a flow (2, 2 * rows, 2 * columns), and how sure that is. */
static AVX2 void gather(
    const float *flow, const float *scale, int rows, int columns, double stretch, const Work *work) {
    int wide = 2 * columns, all = 4 * rows * columns;
    double surest = 0;
    for (int r = 0; r < rows; r++)
        for (int c = 0; c < columns; c++) {
            int corner = 2 * r * wide + 2 * c, four[] = {corner, corner + 1, corner + wide, corner + wide + 1};
            double x = 0, y = 0, sure = 0;
            for (int k = 0; k < 4; k++) {
                double fine = 1 / (scale[four[k]] + BESIDE);
                x += flow[four[k]] * fine;
                y += flow[all + four[k]] * fine;
                sure += fine;
            }
            int cell = r * columns + c;
            work->target[cell] = x / sure;
            work->target[work->cells + cell] = y / sure * stretch;
            work->prior[cell] = sure;
            surest = fmax(surest, sure);
        }
    for (int i = 0; i < work->cells; i++) work->prior[i] /= surest;
}

/* Half of the cells expect less of an error; and what they expect in the mean, the sure ones counting for more. */
static void expected(const float *scale, const Work *work, double *middle, double *mean) {
    double weighted = 0, sure = 0;
    for (int i = 0; i < 4 * work->cells; i++) {
        double fine = 1 / (scale[i] + BESIDE);
        work->sorting[i] = (Weighed){scale[i], 1};
        weighted += scale[i] * fine;
        sure += fine;
    }
    *mean = weighted / sure;
    *middle = median(work->sorting, 4 * work->cells);
}

/* `flow` (2, 2 * rows, 2 * columns) and its `scale`, in pixels; `stretch` makes the picture's pixels of the flow's,
 * down. `how`: the number of rounds, and of those for the rest; the spreads, in pixels, of the first round, of the last
 * one at least, and of the rest's at least. To `found`: coefficients, those of the rest, validity, the error that half
 * of the cells expect to stay below, the one that the sure cells expect, and the mean of the squared motion. 0 if there
 * is no memory. */
int fit(
    const float *flow, const float *scale, int rows, int columns, double stretch, const Fields *eight,
    const Fields *rest, const double *how, double *found) {
    int cells = rows * columns;
    size_t sorting = 3 * 4 * (size_t)cells * sizeof(Weighed);
    char *room = malloc(sorting + 7 * (size_t)cells * sizeof(double));
    if (!room) return 0;
    double *numbers = (double *)(room + sorting);
    Work work = {cells, numbers, numbers + 2 * cells, numbers + 3 * cells, numbers + 5 * cells, numbers + 6 * cells,
        (Weighed *)room};
    gather(flow, scale, rows, columns, stretch, &work);

    double *coefficients = found, *rests = found + eight->lanes, *told = rests + rest->lanes;
    double spread = how[2], tightest = how[3], agree = 0, whole = 0;
    memset(found, 0, (size_t)(eight->lanes + rest->lanes) * sizeof(double));
    for (int axis = 0; axis < 2; axis++)
        coefficients[axis] = weighted_median(&work, work.target + axis * cells, work.prior);
    for (int round = 0; round < how[0]; round++) {
        reweighted(eight, &work, work.target, spread, work.left, coefficients);
        if (spread > tightest)
            spread = fmax(tightest, fmin(spread / 2, 2 * sqrt(weighted_median(&work, work.square, work.weight))));
    }
    double loose = fmax(1, 2 * spread);
    for (int i = 0; i < cells; i++) {
        agree += exp(-0.5 * work.square[i] / (loose * loose)) * work.prior[i];
        whole += work.prior[i];
    }
    told[0] = agree / whole;
    expected(scale, &work, told + 1, told + 2);

    double *moved = work.target; /* no longer needed */
    memset(moved, 0, 2 * cells * sizeof(double));
    for (int lane = 0; lane < eight->lanes; lane++)
        subtract(eight->rows + (ptrdiff_t)2 * lane * cells, -coefficients[lane], 2 * cells, moved);
    told[3] = 0;
    for (int i = 0; i < 2 * cells; i++) told[3] += moved[i] * moved[i] / cells;

    for (int round = 0; round < how[1]; round++)
        reweighted(rest, &work, work.left, fmax(how[4], 2 * spread), moved, rests);
    free(room);
    return 1;
}
