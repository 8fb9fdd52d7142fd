// What is done to pixels on the card. Each kernel is one loop that any grid covers: a grid of one thread, too, which is
// how the tests run this file on a CPU. Planes are packed rows of bytes. `make ptx` compiles it.

#define EACH(i, count) \
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < (count); i += gridDim.x * blockDim.x)

typedef unsigned char byte;

static __device__ int within(int value, int count) { return value < 0 ? 0 : value < count ? value : count - 1; }

static __device__ byte nearest(float value) { return (byte)within((int)rintf(value), 256); }

// Packed three-channel pixels to luma, BT.601 in 15 bits as OpenCV weighs it; `first` and `third` weigh those channels.
extern "C" __global__ void gray(const byte* in, byte* out, int pixels, int first, int third) {
    EACH (i, pixels)
        out[i] = (byte)((first * in[3 * i] + 19235 * in[3 * i + 1] + third * in[3 * i + 2] + (1 << 14)) >> 15);
}

// Pixel (x, y) of a picture that was halved `times`, each time to the rounded means of 2x2 pixels; `width` is the row
// of the picture as it came. Odd columns and rows at the ends are left out.
static __device__ int halved(const byte* in, int width, int x, int y, int times) {
    if (times == 0)
        return in[y * (long long)width + x];
    x *= 2, y *= 2, times -= 1;
    return (halved(in, width, x, y, times) + halved(in, width, x + 1, y, times) + halved(in, width, x, y + 1, times) +
            halved(in, width, x + 1, y + 1, times) + 2) >> 2;
}

// The sample before `place` along an axis of `count` samples, and the weight of the one after it, of 2048.
static __device__ int before(float place, int count, int* weight) {
    const int first = (int)floorf(place);
    const bool inside = first >= 0 && first < count - 1;
    *weight = inside ? (int)rintf((place - first) * 2048.0f) : 0;
    return within(first, count);
}

// Linearly between the four nearest pixels, in OpenCV's integers and with its roundings.
static __device__ byte between(const byte* in, int row, int times, int in_width, int in_height, float place_x, float place_y) {
    int across, down;
    const int left = before(place_x, in_width, &across), right = within(left + 1, in_width);
    const int top = before(place_y, in_height, &down), bottom = within(top + 1, in_height);
    const int upper = (2048 - across) * halved(in, row, left, top, times) + across * halved(in, row, right, top, times);
    const int lower = (2048 - across) * halved(in, row, left, bottom, times) + across * halved(in, row, right, bottom, times);
    return (byte)((((2048 - down) * (upper >> 4) >> 16) + (down * (lower >> 4) >> 16) + 2) >> 2);
}

// The mean of an area.
static __device__ byte mean(const byte* in, int row, int times, float x0, float x1, float y0, float y1) {
    float sum = 0.0f;
    for (int y = (int)y0; y < y1; y++) {
        float part = 0.0f;
        for (int x = (int)x0; x < x1; x++)
            part += halved(in, row, x, y, times) * (fminf(x + 1, x1) - fmaxf(x, x0));
        sum += part * (fminf(y + 1, y1) - fmaxf(y, y0));
    }
    return nearest(sum / ((x1 - x0) * (y1 - y0)));
}

// Luma to another size, as bytes and, in `unit`, as [0, 1]: halved `times`, then, if it is then much `larger`, the mean
// of the area that each pixel covers, else linearly. The network shall see what it sees on a CPU.
extern "C" __global__ void shrink(const byte* in, byte* out, float* unit, int in_width, int in_height, int times, int larger,
                                  int width, int height) {
    const int row = in_width;
    in_width >>= times, in_height >>= times;
    const double step_x = (double)in_width / width, step_y = (double)in_height / height;
    const float wide = (float)in_width / width, high = (float)in_height / height;
    EACH (i, width * height) {
        const int x = i % width, y = i / width;
        out[i] = larger ? mean(in, row, times, x * wide, fminf(x * wide + wide, in_width), y * high, fminf(y * high + high, in_height))
                        : between(in, row, times, in_width, in_height, (float)((x + 0.5) * step_x - 0.5), (float)((y + 0.5) * step_y - 0.5));
        unit[i] = out[i] * (1.0f / 255.0f);
    }
}

// Copies of words: each row of `table` is where from (nowhere: zeros), where to, and how many. A row of blocks each.
extern "C" __global__ void move(const unsigned long long* table, int rows) {
    for (int row = blockIdx.y; row < rows; row += gridDim.y) {
        const unsigned* from = (const unsigned*)table[3 * row];
        unsigned* to = (unsigned*)table[3 * row + 1];
        EACH (i, (int)table[3 * row + 2])
            to[i] = from ? from[i] : 0;
    }
}

// A plane seen through a mesh of rows x cols vertices (u, v); the plane's samples span `span_x` x `span_y` of the
// picture. Bilinear; outside the plane its edge is repeated. The same as flowgimbal.engines.sampling, without its
// steps of 1/32 pixel.
extern "C" __global__ void sample(const byte* in, byte* out, int width, int height, int channels, const float* mesh,
                                  int rows, int cols, float span_x, float span_y) {
    EACH (i, width * height) {
        const float across = (i % width + 0.5f) / span_x * (cols - 1), down = (i / width + 0.5f) / span_y * (rows - 1);
        const int col = within((int)across, cols - 1), row = within((int)down, rows - 1);
        const float right = across - col, low = down - row;
        float place[2];
        for (int axis = 0; axis < 2; axis++) {
            const float* vertex = mesh + 2 * (row * cols + col) + axis;
            const float upper = vertex[0] + right * (vertex[2] - vertex[0]);
            vertex += 2 * cols;
            const float lower = vertex[0] + right * (vertex[2] - vertex[0]);
            place[axis] = upper + low * (lower - upper);
        }
        // Far outside is as good as one beyond the edge, and fits an int.
        const float x = fminf(fmaxf(place[0] * span_x - 0.5f, -1.0f), width);
        const float y = fminf(fmaxf(place[1] * span_y - 0.5f, -1.0f), height);
        const int x0 = (int)floorf(x), y0 = (int)floorf(y);
        const byte* above = in + within(y0, height) * (long long)width * channels;
        const byte* below = in + within(y0 + 1, height) * (long long)width * channels;
        const int first = within(x0, width) * channels, second = within(x0 + 1, width) * channels;
        for (int c = 0; c < channels; c++) {
            const float upper = above[first + c] + (x - x0) * (above[second + c] - above[first + c]);
            const float lower = below[first + c] + (x - x0) * (below[second + c] - below[first + c]);
            out[i * (long long)channels + c] = nearest(upper + (y - y0) * (lower - upper));
        }
    }
}
