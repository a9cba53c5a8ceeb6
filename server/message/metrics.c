/* metrics.c - see message/metrics.h */
#include "server/message/metrics.h"

#include <stdatomic.h>
#include <stdlib.h>

/* The statuses that convd gives; anything else is counted under the last, 0, and would show as "other". */
static const unsigned statuses[] = {200, 201, 202, 204, 304, 400, 401, 403, 404, 405,
                                    408, 409, 413, 415, 422, 500, 501, 503, 507, 0};
#define N_STATUSES (sizeof statuses / sizeof statuses[0])

/* Upper ends, in nanoseconds: a prediction takes tens of microseconds, a durable step on a slow disk tens of milliseconds. */
static const uint64_t bounds[] = {25000,    50000,    100000,    250000,    500000,    1000000,    2500000,   5000000,
                                  10000000, 25000000, 100000000, 250000000, 500000000, 1000000000, 5000000000};
#define N_BOUNDS (sizeof bounds / sizeof bounds[0])

struct route_metrics {
    atomic_uint_fast64_t requests[METHOD_OTHER + 1][N_STATUSES];
    atomic_uint_fast64_t buckets[N_BOUNDS + 1]; /* each for itself; added up when written */
    atomic_uint_fast64_t nanoseconds;
};

struct metrics {
    const char *const *names;
    unsigned n;
    struct route_metrics routes[];
};

struct metrics *metrics_create(const char *const *route_names, unsigned n)
{
    struct metrics *metrics = calloc(1, sizeof *metrics + n * sizeof metrics->routes[0]);
    if (metrics == NULL)
        return NULL;
    metrics->names = route_names;
    metrics->n = n;
    return metrics;
}

void metrics_free(struct metrics *metrics)
{
    free(metrics);
}

void metrics_request(struct metrics *metrics, unsigned route, enum method method, unsigned status, uint64_t nanoseconds)
{
    struct route_metrics *counts = &metrics->routes[route < metrics->n ? route : 0];
    size_t s = 0, b = 0;
    while (s < N_STATUSES - 1 && statuses[s] != status)
        s++;
    while (b < N_BOUNDS && nanoseconds > bounds[b])
        b++;
    atomic_fetch_add_explicit(&counts->requests[method][s], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&counts->buckets[b], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&counts->nanoseconds, nanoseconds, memory_order_relaxed);
}

static void write_requests(struct text *text, const char *name, const struct route_metrics *counts)
{
    for (unsigned m = 0; m <= METHOD_OTHER; m++)
        for (size_t s = 0; s < N_STATUSES; s++) {
            uint64_t n = atomic_load_explicit(&counts->requests[m][s], memory_order_relaxed);
            if (n == 0)
                continue;
            text_add_format(text, "convd_http_requests_total{route=\"%s\",method=\"%s\",code=\"", name,
                            method_name((enum method)m));
            if (statuses[s] == 0)
                text_add_string(text, "other");
            else
                text_add_u64(text, statuses[s]);
            text_add_format(text, "\"} %llu\n", (unsigned long long)n);
        }
}

static void write_durations(struct text *text, const char *name, const struct route_metrics *counts)
{
    uint64_t sum = 0, each[N_BOUNDS + 1];
    for (size_t b = 0; b <= N_BOUNDS; b++) {
        each[b] = atomic_load_explicit(&counts->buckets[b], memory_order_relaxed);
        sum += each[b];
    }
    if (sum == 0)
        return;
    uint64_t below = 0;
    for (size_t b = 0; b < N_BOUNDS; b++) {
        below += each[b];
        text_add_format(text, "convd_http_request_duration_seconds_bucket{route=\"%s\",le=\"%.9g\"} %llu\n", name,
                        (double)bounds[b] / 1e9, (unsigned long long)below);
    }
    uint64_t nanoseconds = atomic_load_explicit(&counts->nanoseconds, memory_order_relaxed);
    text_add_format(text, "convd_http_request_duration_seconds_bucket{route=\"%s\",le=\"+Inf\"} %llu\n", name,
                    (unsigned long long)sum);
    text_add_format(text, "convd_http_request_duration_seconds_sum{route=\"%s\"} %.9f\n", name,
                    (double)nanoseconds / 1e9);
    text_add_format(text, "convd_http_request_duration_seconds_count{route=\"%s\"} %llu\n", name,
                    (unsigned long long)sum);
}

void metrics_write(struct metrics *metrics, struct text *text)
{
    text_add_string(text, "# HELP convd_http_requests_total Requests answered.\n"
                          "# TYPE convd_http_requests_total counter\n");
    for (unsigned r = 0; r < metrics->n; r++)
        write_requests(text, metrics->names[r], &metrics->routes[r]);
    text_add_string(
        text, "# HELP convd_http_request_duration_seconds Time from the request line to the response's last byte.\n"
              "# TYPE convd_http_request_duration_seconds histogram\n");
    for (unsigned r = 0; r < metrics->n; r++)
        write_durations(text, metrics->names[r], &metrics->routes[r]);
}

static void write_one(struct text *text, const char *name, const char *help, const char *type, double value)
{
    text_add_format(text, "# HELP %s %s\n# TYPE %s %s\n%s %.17g\n", name, help, name, type, name, value);
}

void metrics_write_counter(struct text *text, const char *name, const char *help, double value)
{
    write_one(text, name, help, "counter", value);
}

void metrics_write_gauge(struct text *text, const char *name, const char *help, double value)
{
    write_one(text, name, help, "gauge", value);
}
