/* Fits the global motion to a field of flow: the compiled road of the server's motion.py, which says what is done and
 * why. The same numbers, but for rounding: hundreds of small steps, of which each is soon done and dearly called. */

#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "native.h"

#define MOST_LANES 16
#define PAIRS(lanes) ((lanes) * ((lanes) + 1) / 2)
#define UNSEEN 1e-4 /* weight of a cell that does not count */
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
    double *told; /* (3, cells): which part of a motion a cell tells, as of FlowField.texture */
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

/* The coefficients with which the fields explain `motion` best, under the weights at work and `stiffness` ridges. */
static AVX2 void least_squares(
    const Fields *fields, const Work *work, const double *motion, double stiffness, double *coefficients) {
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
        matrix[lane][lane] += stiffness * fields->ridge[lane];
    }
    solve(fields->lanes, matrix, coefficients);
}

/* The products of each two fields, as far as cells tell of them. */
static AVX2 void told_products(const Fields *fields, const Work *work, double *products) {
    int lanes = fields->lanes, cells = work->cells;
    for (int i = 0; i < cells; i++) {
        double xx = work->told[i], xy = work->told[cells + i], yy = work->told[2 * cells + i];
        double x[MOST_LANES], y[MOST_LANES];
        for (int lane = 0; lane < lanes; lane++) {
            ptrdiff_t at = (ptrdiff_t)2 * lane * cells + i;
            x[lane] = fields->rows[at];
            y[lane] = fields->rows[at + cells];
            double told_x = xx * x[lane] + xy * y[lane], told_y = xy * x[lane] + yy * y[lane];
            for (int other = 0; other <= lane; other++) *products++ = x[other] * told_x + y[other] * told_y;
        }
    }
}

/* What of a motion cells tell. */
static AVX2 void tell(const Work *work, const double *motion, double *telling) {
    int cells = work->cells;
    for (int i = 0; i < cells; i++) {
        double xx = work->told[i], xy = work->told[cells + i], yy = work->told[2 * cells + i];
        telling[i] = xx * motion[i] + xy * motion[cells + i];
        telling[cells + i] = xy * motion[i] + yy * motion[cells + i];
    }
}

/* One round of reweighted least squares (Geman-McClure): what the coefficients left of `motion`, then better ones.
 * `telling` is what cells tell of the motion, with `seen` for the fields: as far as cells tell of them. */
static AVX2 void reweighted(
    const Fields *fields, const Fields *seen, const Work *work, const double *motion, const double *telling,
    double spread, double stiffness, double *left, double *coefficients) {
    int cells = work->cells;
    memcpy(left, motion, 2 * cells * sizeof(double));
    for (int lane = 0; lane < fields->lanes; lane++)
        subtract(fields->rows + (ptrdiff_t)2 * lane * cells, coefficients[lane], 2 * cells, left);
    for (int i = 0; i < cells; i++) {
        double square = left[i] * left[i] + left[cells + i] * left[cells + i], unlike = 1 + square / (spread * spread);
        work->square[i] = square;
        work->weight[i] = work->prior[i] / (unlike * unlike);
    }
    least_squares(seen, work, telling, stiffness, coefficients);
}

/* The sureness-weighted mean of each 2x2 cells of a flow (2, 2 * rows, 2 * columns) and of its texture (3, ...), and how
 * sure that is. */
static AVX2 void gather(
    const float *flow, const float *scale, const float *texture, int rows, int columns, double stretch,
    const Work *work) {
    int wide = 2 * columns, all = 4 * rows * columns;
    double surest = 0;
    for (int r = 0; r < rows; r++)
        for (int c = 0; c < columns; c++) {
            int corner = 2 * r * wide + 2 * c, four[] = {corner, corner + 1, corner + wide, corner + wide + 1};
            double x = 0, y = 0, sure = 0, told[3] = {0};
            for (int k = 0; k < 4; k++) {
                double fine = 1 / (scale[four[k]] + BESIDE);
                x += flow[four[k]] * fine;
                y += flow[all + four[k]] * fine;
                sure += fine;
                for (int part = 0; part < 3; part++) told[part] += texture[part * all + four[k]] * fine;
            }
            int cell = r * columns + c;
            for (int part = 0; part < 3; part++) work->told[part * work->cells + cell] = told[part] / sure;
            work->target[cell] = x / sure;
            work->target[work->cells + cell] = y / sure * stretch;
            work->prior[cell] = sure;
            surest = fmax(surest, sure);
        }
    for (int i = 0; i < work->cells; i++) work->prior[i] /= surest;
}

/* Half of the cells expect less of an error. */
static double expected(const float *scale, const Work *work) {
    for (int i = 0; i < 4 * work->cells; i++) work->sorting[i] = (Weighed){scale[i], 1};
    return median(work->sorting, 4 * work->cells);
}

/* The mean of a motion's square, under the weights at work. */
static double mean_square(const Work *work, const double *motion) {
    double sum = 0, whole = 0;
    for (int i = 0; i < work->cells; i++) {
        const double *x = motion + i, *y = x + work->cells;
        sum += work->weight[i] * (*x * *x + *y * *y);
        whole += work->weight[i];
    }
    return sum / whole;
}

/* `flow` (2, 2 * rows, 2 * columns) and its `scale`, in pixels, and its `texture` (3, ...); `stretch` makes the picture's
 * pixels of the flow's, down. `how`: the number of rounds, and of those for the rest; the spreads, in pixels, of the first
 * round, of the last one at least, and of the rest's at least; the pixels that no cells differ by for a reason. To
 * `found`: coefficients, those of the rest, validity, the error that half of the cells expect to stay below, and how many
 * times farther no motion is from what the agreeing cells tell than this one. 0 if there is no memory. */
int fit(
    const float *flow, const float *scale, const float *texture, int rows, int columns, double stretch,
    const Fields *eight, const Fields *rest, const double *how, double *found) {
    int cells = rows * columns, lanes = eight->lanes;
    size_t sorting = 3 * 4 * (size_t)cells * sizeof(Weighed);
    char *room = malloc(sorting + (12 + PAIRS(lanes)) * (size_t)cells * sizeof(double));
    if (!room) return 0;
    double *numbers = (double *)(room + sorting);
    Work work = {cells, numbers, numbers + 2 * cells, numbers + 3 * cells, numbers + 5 * cells, numbers + 6 * cells,
        numbers + 7 * cells, (Weighed *)room};
    double *telling = numbers + 10 * cells, *products = numbers + 12 * cells;
    Fields seen = {eight->rows, products, eight->ridge, lanes};
    gather(flow, scale, texture, rows, columns, stretch, &work);
    told_products(eight, &work, products);
    tell(&work, work.target, telling);

    double *coefficients = found, *rests = found + eight->lanes, *summary = rests + rest->lanes;
    double spread = how[2], tightest = how[3], agree = 0, whole = 0;
    memset(found, 0, (size_t)(eight->lanes + rest->lanes) * sizeof(double));
    for (int axis = 0; axis < 2; axis++)
        coefficients[axis] = weighted_median(&work, work.target + axis * cells, work.prior);
    for (int round = 0; round < how[0]; round++) {
        reweighted(eight, &seen, &work, work.target, telling, spread, spread / tightest, work.left, coefficients);
        if (spread > tightest)
            spread = fmax(tightest, fmin(spread / 2, 2 * sqrt(weighted_median(&work, work.square, work.weight))));
    }
    double loose = fmax(1, 2 * spread), near = how[5] * how[5];
    double none = mean_square(&work, telling) + near;
    tell(&work, work.left, telling);
    for (int i = 0; i < cells; i++) {
        double asked = work.prior[i] * fmax(work.told[i] + work.told[2 * cells + i], UNSEEN);
        double square = telling[i] * telling[i] + telling[cells + i] * telling[cells + i];
        agree += exp(-0.5 * square / (loose * loose)) * asked;
        whole += asked;
    }
    summary[0] = agree / whole;
    summary[1] = expected(scale, &work);
    summary[2] = sqrt(none / (mean_square(&work, telling) + near));

    double *aside = work.target; /* no longer needed */
    for (int round = 0; round < how[1]; round++)
        reweighted(rest, rest, &work, work.left, work.left, fmax(how[4], 2 * spread), 1, aside, rests);
    free(room);
    return 1;
}
