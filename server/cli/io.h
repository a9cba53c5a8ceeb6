/* io.h - what verbs read and write beside the model: whole files, results on stdout, the wish to stop. */
#ifndef CONVD_SERVER_CLI_IO_H
#define CONVD_SERVER_CLI_IO_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "core/core.h"
#include "server/common/json.h"
#include "server/common/json_write.h"

/* cli_read - the whole file, or stdin for "-", malloc'ed. Errors: ERR_FILE (detail: errno; also when larger than
 * `bytes_max`), ERR_MEMORY. */
int cli_read(uint8_t **bytes, size_t *n_bytes, const char *path, size_t bytes_max, struct err *err);

/* Where a result goes: every verb that writes a file writes it here. */
struct cli_output {
    const char *name; /* as it was given                                                */
    char *path;       /* that the name leads to, links followed; NULL: standard output */
    bool in_place;    /* a pipe, a device: nothing that could be lost                   */
    bool force;       /* over a file that is there                                      */
};

/* CLI_FLAG_FORCE - what --force means, for the flags of a verb. */
/* clang-format off */
#define CLI_FLAG_FORCE {FLAG_SWITCH("force", "overwrite an existing file; never a database")}
/* clang-format on */

/* cli_output_open - decides where it goes, and writes nothing: "-" or /dev/stdout, a pipe or a device, or a file, which must not be
 * there unless `force` is given, and may not be an SQLite database or a part of one either way. Before this process opens its own
 * database: see file_check_no_database(). A terminal as stdout is refused, since all that is written here is binary.
 * Owns: the caller, cli_output_fini(), also after failure. Errors: ERR_CONFLICT (says what would work), ERR_FILE, ERR_MEMORY. */
int cli_output_open(struct cli_output *out, const char *name, bool force, struct err *err);
void cli_output_fini(struct cli_output *out); /* a zeroed one is fine */

/* cli_output_write - all of it. A file appears complete or not at all: it is written beside its place, synced and renamed, so that a
 * full disk or a crash leaves what was there before; one that came meanwhile is not written over. Errors: ERR_CONFLICT, ERR_FILE. */
int cli_output_write(const struct cli_output *out, const uint8_t *bytes, size_t n_bytes, struct err *err);

/* cli_say - prints one line or a part of one, as printf() does, to stdout or stderr. What it quotes came from elsewhere: a control character
 * becomes a question mark, but for a line feed that ends the format. It is cut at CLI_SAY_BYTES, which no path reaches. A verb says nothing
 * in any other way: scripts/check-banned. */
#define CLI_SAY_BYTES 8192
void cli_say(FILE *out, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* cli_json - the text as a document, which json_free() releases; frees the text. Errors: ERR_MEMORY, those of json_parse(). */
int cli_json(struct json **root, struct text *text, struct err *err);

/* cli_print_object - ends the object that was begun with json_write_begin(), prints it and frees its text. As cli_print_json(). */
int cli_print_object(struct json_writer *json, struct err *err);

/* cli_print_json - prints and frees the document (also on error), every control character in it escaped. Errors: ERR_MEMORY; writing is
 * checked by cli_main(). */
int cli_print_json(struct json *root, struct err *err);

/* cli_fixed9 - a number from 0 to 1e9 as a daemon's response has it, to nine decimals: so that a verb tells the same, whoever holds the model.
 * A NaN stays one. */
double cli_fixed9(double number);

/* cli_hex - the digest as 64 digits and a zero; returns `text`. */
char *cli_hex(char text[2 * DIGEST_BYTES + 1], const uint8_t digest[DIGEST_BYTES]);

/* cli_stop_watch - from now on SIGINT and SIGTERM only set the flag that cli_stop() reads; a second one kills.
 * cli_stop_flag() is that flag, for libraries that wait. */
void cli_stop_watch(void);
bool cli_stop(void);
const volatile sig_atomic_t *cli_stop_flag(void);

#endif
