/* fuzz_idx.c - a pair of IDX files, plain or gzipped. First two bytes: how long the first of the two is. */
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "server/formats/dataset.h"
#include "server/image/image.h"
#include "tests/fuzz/fuzz.h"

static int file_of(const uint8_t *bytes, size_t n_bytes)
{
    int fd = memfd_create("idx", MFD_CLOEXEC);
    must(fd >= 0 && (n_bytes == 0 || write(fd, bytes, n_bytes) == (ssize_t)n_bytes));
    return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes)
{
    size_t n_first = take(&bytes, &n_bytes);
    n_first = n_first << 8 | take(&bytes, &n_bytes);
    n_first = n_first < n_bytes ? n_first : n_bytes;
    int fds[2] = {file_of(bytes, n_first), file_of(bytes + n_first, n_bytes - n_first)};
    char paths[2][32];
    const char *files[2] = {paths[0], paths[1]};
    struct dataset *dataset = NULL;
    struct err err;
    for (int i = 0; i < 2; i++)
        (void)snprintf(paths[i], sizeof paths[i], "/proc/self/fd/%d", fds[i]);
    if (dataset_open(&dataset, files, 2, IMAGE_PIXELS_MAX_DEFAULT, &err) != 0) {
        must_tell(&err);
        must(dataset == NULL);
    } else {
        struct shape shape = shape_default();
        struct settings settings = settings_default();
        uint8_t input[7 * 5];
        const char *label = NULL, *const *labels = NULL;
        uint64_t n = dataset_length(dataset), seen = 0;
        shape.width = 7;
        shape.height = 5;
        shape.n_input = sizeof input;
        must(dataset_labels(dataset, &labels) <= 256);
        for (int status; seen < 64 && (status = dataset_next(dataset, &shape, &settings, input, &label, &err)) != 0;
             seen++)
            if (status < 0)
                must_tell(&err);
            else
                must(label[0] != '\0');
        must(seen <= n);
    }
    dataset_close(dataset);
    (void)close(fds[0]);
    (void)close(fds[1]);
    return 0;
}
