/* metrics.h - what HTTP did, counted: requests by route, method and status, and how long they took.
 *
 * Every count is one relaxed atomic addition, so any thread counts, and reading while others count gives numbers that are
 * each right, if not all of one instant. Written in Prometheus's text format, with its conventions.
 */
#ifndef CONVD_SERVER_MESSAGE_METRICS_H
#define CONVD_SERVER_MESSAGE_METRICS_H

#include <stdint.h>

#include "server/common/text.h"
#include "server/message/request.h"

struct metrics;

/* metrics_create - route_names [n]: static strings, the value of the label `route`. NULL: out of memory. */
struct metrics *metrics_create(const char *const *route_names, unsigned n);
void metrics_free(struct metrics *metrics);

/* metrics_request - one request was answered. */
void metrics_request(struct metrics *metrics, unsigned route, enum method method, unsigned status,
                     uint64_t nanoseconds);

/* metrics_write - convd_http_requests_total and convd_http_request_duration_seconds. */
void metrics_write(struct metrics *metrics, struct text *text);

/* One number with its HELP and TYPE lines. */
void metrics_write_counter(struct text *text, const char *name, const char *help, double value);
void metrics_write_gauge(struct text *text, const char *name, const char *help, double value);

#endif
