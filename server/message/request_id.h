/* request_id.h - the name that one request has in the log and in its response: X-Request-Id.
 *
 * A client, or the proxy before us, may give it, so that one request can be followed through several logs; else we make one:
 * eight hexadecimal digits of this run, which are random, a dash, and the request's number in it.
 */
#ifndef CONVD_SERVER_MESSAGE_REQUEST_ID_H
#define CONVD_SERVER_MESSAGE_REQUEST_ID_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define REQUEST_ID_BYTES_MAX 64u /* of one that a client gives */

struct request_ids {
    uint32_t run;
    atomic_uint_fast64_t made;
};

/* request_ids_init - draws the run's number from the kernel, or from the clock where that gives none. */
void request_ids_init(struct request_ids *ids);

/* request_id_choose - writes the request's id: `given`, where a client gave one that can stand in a log, else one that is made. Whether
 * it is the client's. given: NULL: none. Any thread; some nanoseconds. */
bool request_id_choose(char id[REQUEST_ID_BYTES_MAX + 1], struct request_ids *ids, const char *given);

#endif
