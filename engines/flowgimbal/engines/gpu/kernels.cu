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

// Means of 2x2 pixels; `in_width` may be odd, the last column and row are then left out.
extern "C" __global__ void halve(const byte* in, byte* out, int in_width, int width, int height) {
    EACH (i, width * height) {
        const byte* above = in + (2 * (i / width)) * (long long)in_width + 2 * (i % width);
        const byte* below = above + in_width;
        out[i] = (byte)((above[0] + above[1] + below[0] + below[1] + 2) >> 2);
    }
}

// The sample before `place` along an axis of `count` samples, and the weight of the one after it, of 2048.
static __device__ int before(float place, int count, int* weight) {
    const int first = (int)floorf(place);
    const bool inside = first >= 0 && first < count - 1;
    *weight = inside ? (int)rintf((place - first) * 2048.0f) : 0;
    return within(first, count);
}

// To another size, linearly between the four nearest pixels, in OpenCV's integers and with its roundings: the network
// shall see to the bit what it sees on a CPU.
extern "C" __global__ void shrink_linear(const byte* in, byte* out, int in_width, int in_height, int width, int height) {
    const double step_x = (double)in_width / width, step_y = (double)in_height / height;
    EACH (i, width * height) {
        int across, down;
        const int left = before((float)((i % width + 0.5) * step_x - 0.5), in_width, &across);
        const int top = before((float)((i / width + 0.5) * step_y - 0.5), in_height, &down);
        const int right = within(left + 1, in_width);
        const byte* above = in + top * (long long)in_width;
        const byte* below = in + within(top + 1, in_height) * (long long)in_width;
        const int upper = (2048 - across) * above[left] + across * above[right];
        const int lower = (2048 - across) * below[left] + across * below[right];
        out[i] = (byte)((((2048 - down) * (upper >> 4) >> 16) + (down * (lower >> 4) >> 16) + 2) >> 2);
    }
}

// To a smaller size, each pixel the mean of the area that it covers.
extern "C" __global__ void shrink_area(const byte* in, byte* out, int in_width, int in_height, int width, int height) {
    const float step_x = (float)in_width / width, step_y = (float)in_height / height;
    EACH (i, width * height) {
        const float x0 = i % width * step_x, x1 = fminf(x0 + step_x, in_width);
        const float y0 = i / width * step_y, y1 = fminf(y0 + step_y, in_height);
        float sum = 0.0f;
        for (int y = (int)y0; y < y1; y++) {
            float row = 0.0f;
            for (int x = (int)x0; x < x1; x++)
                row += in[y * (long long)in_width + x] * (fminf(x + 1, x1) - fmaxf(x, x0));
            sum += row * (fminf(y + 1, y1) - fmaxf(y, y0));
        }
        out[i] = nearest(sum / ((x1 - x0) * (y1 - y0)));
    }
}

// Bytes to [0, 1].
extern "C" __global__ void normalise(const byte* in, float* out, int count) {
    EACH (i, count)
        out[i] = in[i] * (1.0f / 255.0f);
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
