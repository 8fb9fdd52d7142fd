/* As much of libcuda as the engine calls through pycuda, in the host's memory and at once. Counts what is alive, and
 * refuses what is done without a context. The kernels are ours, compiled for the host: see ../fake_card.py. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef unsigned long long Address;

static __thread int depth;
static long alive, context;

#define CONTEXT                                               \
    if (depth < 1) {                                          \
        fprintf(stderr, "%s without a context\n", __func__);  \
        return 201;                                           \
    }

long host_cuda_alive(void) { return alive; }

static void *take(size_t size) {
    __sync_fetch_and_add(&alive, 1);
    return aligned_alloc(256, (size + 255) / 256 * 256);
}

static int give(void *memory) {
    __sync_fetch_and_sub(&alive, 1);
    free(memory);
    return 0;
}

int cuInit(unsigned flags) { return 0; }
int cuGetErrorString(int error, const char **text) { return *text = "refused by the host's libcuda", 0; }
int cuDeviceGet(int *device, int index) { return *device = 0, index ? 101 : 0; }
int cuDeviceGetName(char *name, int size, int device) { return strncpy(name, "Host", size), 0; }
int cuDeviceComputeCapability(int *major, int *minor, int device) { return *major = 9, *minor = 0, 0; }
int cuDevicePrimaryCtxRetain(void **result, int device) { return *result = &context, 0; }
int cuDevicePrimaryCtxRelease_v2(int device) { return 0; }
int cuCtxPushCurrent_v2(void *pushed) { return depth++, 0; }
int cuCtxPopCurrent_v2(void **popped) { CONTEXT return depth--, *popped = &context, 0; }
int cuMemAlloc_v2(Address *result, size_t size) { CONTEXT return *result = (Address)take(size), 0; }
int cuMemFree_v2(Address memory) { CONTEXT return give((void *)memory); }
int cuMemHostAlloc(void **result, size_t size, unsigned flags) { CONTEXT return *result = take(size), 0; }
int cuMemFreeHost(void *memory) { CONTEXT return give(memory); }
int cuMemcpyHtoDAsync_v2(Address to, void *from, size_t size, void *s) { CONTEXT return memcpy((void *)to, from, size), 0; }
int cuMemcpyDtoHAsync_v2(void *to, Address from, size_t size, void *s) { CONTEXT return memcpy(to, (void *)from, size), 0; }
int cuStreamCreate(void **stream, unsigned flags) { CONTEXT return flags == 1 ? (*stream = take(8), 0) : 1; }
int cuStreamDestroy_v2(void *stream) { CONTEXT return give(stream); }
int cuStreamSynchronize(void *stream) { CONTEXT return 0; }
int cuModuleLoadDataEx(void **module, const char *ptx, unsigned n, void *options, void *values) {
    CONTEXT return *module = take(8), strstr(ptx, ".entry sample") ? 0 : 218;
}
int cuModuleUnload(void *module) { CONTEXT return give(module); }
int cuModuleGetFunction(void **function, void *module, const char *name) { CONTEXT return *function = strdup(name), 0; }
int cuFuncSetBlockShape(void *function, int x, int y, int z) { CONTEXT return 0; }

typedef void Kernel();
extern Kernel gray, shrink, move;
extern void sample(void *, void *, int, int, int, void *, int, int, float, float);

int cuLaunchKernel(char *name, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared,
                   void *stream, void **parameters, void **extra) {
    CONTEXT if (gx < 1 || gy < 1 || gz != 1 || bx < 1 || bx > 1024 || by != 1 || bz != 1 || !extra) return 1;
    void **pointers = NULL;
    for (int i = 0; extra[i]; i += 2)
        if (extra[i] == (void *)1) pointers = extra[i + 1];
    int *ints = (int *)(pointers + 2);
    if (!strcmp(name, "gray")) gray(pointers[0], pointers[1], ints[0], ints[1], ints[2]);
    else if (!strcmp(name, "shrink")) {
        ints = (int *)(pointers + 3);
        shrink(pointers[0], pointers[1], pointers[2], ints[0], ints[1], ints[2], ints[3], ints[4], ints[5]);
    }
    else if (!strcmp(name, "move")) move(pointers[0], *(int *)(pointers + 1));
    else if (!strcmp(name, "sample"))
        sample(pointers[0], pointers[1], ints[0], ints[1], ints[2], pointers[4], ints[6], ints[7], *(float *)(ints + 8),
               *(float *)(ints + 9));
    else return 1;
    return 0;
}

// Nothing can be recorded here: networks are run each time.
int cuStreamBeginCapture_v2(void *stream, int mode) { return 801; }
