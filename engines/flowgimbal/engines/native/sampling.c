/* Samples one plane of bytes through a mesh: the compiled road of sampling.py, which says what the arguments are.
 *
 * Steady pictures lie nearly parallel to raw ones, so eight neighbours in a row of the output come from some seven
 * neighbours in a few rows of the input: these are loaded whole, and a byte shuffle lays them out in pairs, where a
 * general resampler fetches each of the four neighbours of each pixel for itself. Along a row of a mesh cell the place
 * looked up is linear in the column, so that there are no maps, either. What spreads further (a picture made less than
 * half as large, a mesh torn apart) is taken pixel by pixel. */

#include <immintrin.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>

#include "native.h"

#define RUN 16
#define LANE 8 /* pixels that a shuffle serves from sixteen bytes of a row */
#define BYTES 16
#define DEEPEST 128 /* rows that a run may go through: each is read for all of its pixels */
#define FRACTION 16 /* bits; places are fixed-point numbers */
#define ONE (1 << FRACTION)
#define ROUND (ONE / 256) /* weights along a row have seven bits: half of the last one */
#define FAR 16384.0 /* samples; places this far out, or no numbers, are looked up one by one */

typedef struct {
    const uint8_t *data;
    ptrdiff_t stride;
    int32_t width, most_x, most_y; /* the last sample of a row, and the last place that has one below */
} Plane;

/* Places along a row of a cell, samples of the plane: of the first pixel, and from one to the next. */
typedef struct {
    double x, y, step_x, step_y;
} Course;

static inline int32_t held(int32_t place, int32_t most) { return place < 0 ? 0 : place > most ? most : place; }

static inline int64_t fixed(double place, int32_t most) {
    double scaled = place * ONE;
    return !(scaled > 0) ? 0 : scaled < most ? (int64_t)scaled : most; /* what is no number is 0 */
}

static void one_by_one(const Plane *plane, Course course, int count, uint8_t *out) {
    for (int i = 0; i < count; i++) {
        int64_t x = fixed(course.x + i * course.step_x, plane->most_x - 1);
        int64_t y = fixed(course.y + i * course.step_y, plane->most_y);
        const uint8_t *upper = plane->data + (y >> FRACTION) * plane->stride + (x >> FRACTION);
        const uint8_t *lower = upper + plane->stride;
        int64_t right = x & (ONE - 1), below = y & (ONE - 1);
        int64_t top = upper[0] * (ONE - right) + upper[1] * right, low = lower[0] * (ONE - right) + lower[1] * right;
        out[i] = (uint8_t)((top * (ONE - below) + low * below + ((int64_t)1 << 31)) >> 32);
    }
}

/* Sixteen places in the order in which `narrowed` puts them right: of pixels 0 to 3 and 8 to 11, and of the others. */
typedef struct {
    __m256i some, others;
} Places;

static inline AVX2 Places further(int32_t step) {
    __m256i some = _mm256_setr_epi32(0, 1, 2, 3, 8, 9, 10, 11), others = _mm256_setr_epi32(4, 5, 6, 7, 12, 13, 14, 15);
    __m256i each = _mm256_set1_epi32(step);
    return (Places){_mm256_mullo_epi32(some, each), _mm256_mullo_epi32(others, each)};
}

static inline AVX2 Places places(int32_t first, Places beyond, int32_t most) {
    __m256i start = _mm256_set1_epi32(first), zero = _mm256_setzero_si256(), last = _mm256_set1_epi32(most);
    beyond.some = _mm256_min_epi32(_mm256_max_epi32(_mm256_add_epi32(start, beyond.some), zero), last);
    beyond.others = _mm256_min_epi32(_mm256_max_epi32(_mm256_add_epi32(start, beyond.others), zero), last);
    return beyond;
}

/* The bits of each place from `low` up to `high`, as sixteen numbers of 16 bits. */
static inline AVX2 __m256i narrowed(Places at, int low, int high) {
    __m256i mask = _mm256_set1_epi32((1 << (high - low)) - 1);
    __m256i some = _mm256_and_si256(_mm256_srli_epi32(at.some, low), mask);
    return _mm256_packus_epi32(some, _mm256_and_si256(_mm256_srli_epi32(at.others, low), mask));
}

/* A run of pixels along a course: places of the first one, from one to the next, and of all relative to the first. */
typedef struct {
    int32_t x, y, step_x, step_y;
    Places further_x, further_y;
} Stretch;

/* What a run reads of each row: sixteen bytes for either half, the order of their pairs, and their weights. */
typedef struct {
    int32_t first, second;
    __m256i order, weights;
} Reading;

/* A row of the plane at the sixteen places: grey levels less 128, with seven bits of fraction. */
static inline AVX2 __m256i level(const uint8_t *row, const Reading *reading) {
    __m256i bytes = _mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)(row + reading->first)));
    bytes = _mm256_inserti128_si256(bytes, _mm_loadu_si128((const __m128i *)(row + reading->second)), 1);
    __m256i pairs = _mm256_xor_si256(_mm256_shuffle_epi8(bytes, reading->order), _mm256_set1_epi8(-128));
    return _mm256_maddubs_epi16(reading->weights, pairs);
}

/* Where to begin to read for one half, of which the first pixel is looked up at `x`; -1 if it spreads too far. */
static inline int32_t begun(const Plane *plane, int32_t x, int32_t step) {
    int32_t first = held(x, plane->most_x) >> FRACTION, last = held(x + (LANE - 1) * step, plane->most_x) >> FRACTION;
    int32_t left = first < last ? first : last, right = first < last ? last : first;
    if (right - left > BYTES - 2) return -1;
    /* Nothing behind the row is read. What is said to be right of its last sample is any byte, under no weight. */
    return left < plane->width - BYTES ? left : plane->width - BYTES;
}

/* Sixteen pixels; 0 if their places lie too far apart. */
static inline AVX2 int run(const Plane *plane, Stretch at, uint8_t *out) {
    Reading reading;
    reading.first = begun(plane, at.x, at.step_x);
    reading.second = begun(plane, at.x + LANE * at.step_x, at.step_x);
    if (reading.first < 0 || reading.second < 0) return 0;
    int32_t above = held(at.y, plane->most_y) >> FRACTION;
    int32_t below = held(at.y + (RUN - 1) * at.step_y, plane->most_y) >> FRACTION;
    int32_t top = above < below ? above : below, deep = above < below ? below - above : above - below;
    if (deep > DEEPEST) return 0;

    Places across = places(at.x, at.further_x, plane->most_x), down = places(at.y, at.further_y, plane->most_y);
    __m256i begin = _mm256_set_m128i(_mm_set1_epi16((int16_t)reading.second), _mm_set1_epi16((int16_t)reading.first));
    __m256i column = _mm256_sub_epi16(narrowed(across, FRACTION, 31), begin), right = narrowed(across, 9, FRACTION);
    reading.order = _mm256_add_epi16(_mm256_or_si256(column, _mm256_slli_epi16(column, 8)), _mm256_set1_epi16(1 << 8));
    reading.weights = _mm256_add_epi16(_mm256_sub_epi16(_mm256_slli_epi16(right, 8), right), _mm256_set1_epi16(128));

    const uint8_t *row = plane->data + top * plane->stride;
    __m256i upper = level(row, &reading), lower = level(row + plane->stride, &reading);
    if (deep) { /* some pixels lie in rows further down */
        __m256i depths = _mm256_sub_epi16(narrowed(down, FRACTION, 31), _mm256_set1_epi16((int16_t)top)), last = lower;
        for (int32_t depth = 1; depth <= deep; depth++) {
            __m256i here = _mm256_cmpeq_epi16(depths, _mm256_set1_epi16((int16_t)depth));
            __m256i next = level(row + (depth + 1) * plane->stride, &reading);
            upper = _mm256_blendv_epi8(upper, last, here);
            lower = _mm256_blendv_epi8(lower, next, here);
            last = next;
        }
    }
    __m256i part = _mm256_mulhrs_epi16(_mm256_sub_epi16(lower, upper), narrowed(down, 1, FRACTION));
    __m256i seen = _mm256_srai_epi16(_mm256_add_epi16(_mm256_add_epi16(upper, part), _mm256_set1_epi16(64)), 7);
    __m256i bytes = _mm256_permute4x64_epi64(_mm256_packs_epi16(seen, seen), 0x08);
    _mm_storeu_si128((__m128i *)out, _mm_xor_si128(_mm256_castsi256_si128(bytes), _mm_set1_epi8(-128)));
    return 1;
}

/* `count` pixels along a course. */
static AVX2 void follow(const Plane *plane, Course course, int count, uint8_t *out) {
    double ends[] = {course.x, course.y, course.x + count * course.step_x, course.y + count * course.step_y};
    int fits = count >= RUN;
    for (int i = 0; i < 4; i++) fits &= fabs(ends[i]) < FAR; /* not so if it is no number */
    if (!fits) {
        one_by_one(plane, course, count, out);
        return;
    }
    int32_t step_x = (int32_t)lrint(course.step_x * ONE), step_y = (int32_t)lrint(course.step_y * ONE);
    Stretch at = {0, 0, step_x, step_y, further(step_x), further(step_y)};
    for (int done = 0; done < count; done += RUN) {
        int begin = done + RUN <= count ? done : count - RUN; /* the last run goes over some pixels again */
        Course rest = course;
        rest.x += begin * course.step_x;
        rest.y += begin * course.step_y;
        at.x = (int32_t)(rest.x * ONE) + ROUND;
        at.y = (int32_t)(rest.y * ONE);
        if (!run(plane, at, out + begin)) one_by_one(plane, rest, RUN, out + begin);
    }
}

/* The first sample of `count` whose middle lies in or behind a cell; of what would be the next cell, the end. */
static inline int first_of(int cell, int cells, double span, int count) {
    return cell < cells ? held((int)ceil(cell * span / cells - 0.5), count) : count;
}

/* `mesh` is (rows, columns, 2), places x, y in samples of the plane, of vertices that stand edge to edge over
 * `span_y` by `span_x` samples of `out`, which is as large as the plane: at least 2 by 16, at most 16384. */
void sample(
    const uint8_t *data, ptrdiff_t stride, int height, int width, const float *mesh, int rows, int columns,
    double span_y, double span_x, uint8_t *out) {
    Plane plane = {data, stride, width, (width - 1) * ONE, (height - 1) * ONE - 1};
    double step_v = (rows - 1) / span_y, step_u = (columns - 1) / span_x; /* cells */
    for (int r = 0; r < rows - 1; r++) {
        int top = first_of(r, rows - 1, span_y, height), bottom = first_of(r + 1, rows - 1, span_y, height);
        for (int c = 0; c < columns - 1; c++) {
            int left = first_of(c, columns - 1, span_x, width), right = first_of(c + 1, columns - 1, span_x, width);
            const float *upper = mesh + (ptrdiff_t)2 * (columns * r + c), *lower = upper + 2 * columns;
            double u = (left + 0.5) * step_u - c;
            for (int i = top; i < bottom; i++) {
                double low = (i + 0.5) * step_v - r, high = 1 - low;
                double x = high * upper[0] + low * lower[0], y = high * upper[1] + low * lower[1];
                double across = high * upper[2] + low * lower[2] - x, along = high * upper[3] + low * lower[3] - y;
                Course course = {x + u * across, y + u * along, step_u * across, step_u * along};
                follow(&plane, course, right - left, out + (ptrdiff_t)i * width + left);
            }
        }
    }
}
