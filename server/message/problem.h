/* problem.h - the one table from error to HTTP: status, type and title of application/problem+json (RFC 9457).
 *
 *   {"type": "urn:convd:problem:label-unknown", "title": "No such class", "status": 422,
 *    "detail": "there is no class \"x\": ...", "pointer": "/samples/17/label"}
 *
 * `type` is stable: programs compare it, people read `detail`. `pointer` is a JSON Pointer to the offending member where
 * there is one; for bodies that are not JSON, /images/3 is the fourth image of the body.
 * A client's fault is 4xx. A 5xx says what the client can do and nothing of paths, SQL or memory: its detail is a fixed
 * sentence of the table, and the real story goes to the log. Codes that only the command line can meet have rows too, so
 * that the table is total: test_problem.c walks it.
 */
#ifndef CONVD_SERVER_MESSAGE_PROBLEM_H
#define CONVD_SERVER_MESSAGE_PROBLEM_H

#include "core/err.h"
#include "server/common/text.h"

#define PROBLEM_URN "urn:convd:problem:"

struct problem {
    enum err_code code;
    unsigned status;
    const char *title;
    const char *detail; /* NULL: err->text is for the client; else this is, and err->text is for the log */
};

/* problem_find - the row; every code but ERR_NONE has one, and ERR_NONE or a code that is none gives ERR_INTERNAL's. */
const struct problem *problem_find(enum err_code code);

/* problem_write - appends the JSON document and a line feed; oip: with the detail as `error` as well, as that protocol has it. */
void problem_write(struct text *text, const struct problem *problem, const struct err *err, bool oip);

#endif
