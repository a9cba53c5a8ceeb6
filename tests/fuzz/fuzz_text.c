/* fuzz_text.c - small texts that people and programs send: labels, settings, addresses, tokens, base64 of none. First byte: which. */
#include "server/access/auth.h"
#include "server/common/label_take.h"
#include "server/common/text.h"
#include "server/http/listen.h"
#include "tests/fuzz/fuzz.h"

static void setting(char *text)
{
    struct settings settings = settings_default(), before = settings;
    struct err err;
    char *value = strchr(text, '=');
    if (value == NULL)
        return;
    *value++ = '\0';
    enum setting which = settings_find(text);
    if (which == SETTING_N)
        return;
    if (settings_set_text(&settings, which, value, &err) != 0) {
        must_tell(&err);
        must(memcmp(&settings, &before, sizeof settings) == 0);
    } else {
        double number = settings_get(&settings, which);
        must(settings_word(&settings, which) != NULL ||
             (number >= setting_table[which].low && number <= setting_table[which].high));
    }
}

static void label(const char *text, size_t n)
{
    struct err err;
    struct text quoted = {0};
    if (label_check(text, n, &err) != 0)
        must_tell(&err);
    else
        must(n >= 1 && n <= LABEL_BYTES_MAX && memchr(text, '\0', n) == NULL);
    char taken[LABEL_BYTES_MAX + 1], again[LABEL_BYTES_MAX + 1];
    if (label_take(taken, text, n, &err) != 0)
        must_tell(&err);
    else
        must(label_take(again, taken, strlen(taken), &err) == 0 && strcmp(taken, again) == 0);
    text_add_quoted(&quoted, text, n);
    must(!quoted.failed && quoted.n >= 2 && quoted.bytes[0] == '"' && quoted.bytes[quoted.n - 1] == '"');
    for (size_t i = 0; i < quoted.n; i++)
        must((unsigned char)quoted.bytes[i] >= 0x20);
    text_free(&quoted);
}

static void address(const char *text)
{
    struct listen_address out[3];
    struct err err;
    unsigned n = 0;
    mode_t mode;
    if (listen_parse(out, &n, 3, text, false, &err) != 0)
        must_tell(&err);
    else
        must(n >= 1 && n <= 3);
    if (listen_parse_mode(&mode, text, &err) == 0)
        must(mode <= 0777);
}

static void token(const char *text)
{
    struct err err;
    if (token_check(text, "it", &err) != 0)
        must_tell(&err);
    else
        must(strlen(text) >= TOKEN_BYTES_MIN && strlen(text) <= TOKEN_BYTES_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes)
{
    uint8_t which = take(&bytes, &n_bytes) % 4;
    char *text = exact_text(bytes, n_bytes);
    if (which == 0)
        setting(text);
    else if (which == 1)
        label(text, n_bytes);
    else if (which == 2)
        address(text);
    else
        token(text);
    free(text);
    return 0;
}
