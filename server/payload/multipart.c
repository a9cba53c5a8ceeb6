/* multipart.c - see payload/multipart.h */
#include "server/payload/multipart.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "server/message/request.h"

static bool is_boundary_character(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c != '\0' && strchr("'()+_,-./:=? ", c) != NULL);
}

/* parameter - finds name="value" or name=value in a header's parameters (from the first ';' on) and copies the value.
 * A backslash quotes the next character; %22, %0D and %0A are what browsers and curl write for the three characters that
 * cannot stand there. Returns 1 found, 0 not, -1 malformed or longer than size - 1. */
static int parameter(char *value, size_t size, const char *header, size_t n_header, const char *name)
{
    size_t n_name = strlen(name), i = 0;
    while (i < n_header && header[i] != ';')
        i++;
    while (i < n_header) {
        i++; /* the ';' */
        while (i < n_header && (header[i] == ' ' || header[i] == '\t'))
            i++;
        size_t start = i;
        while (i < n_header && header[i] != '=' && header[i] != ';')
            i++;
        bool wanted = i - start == n_name && strncasecmp(header + start, name, n_name) == 0;
        if (i == n_header || header[i] == ';')
            continue; /* a parameter without a value */
        i++;
        bool quoted = i < n_header && header[i] == '"';
        i += quoted ? 1 : 0;
        size_t n = 0;
        while (i < n_header && (quoted ? header[i] != '"' : header[i] != ';' && header[i] != ' ')) {
            char c = header[i];
            if (c == '\0')
                return -1;
            if (quoted && c == '\\' && i + 1 < n_header)
                c = header[++i];
            else if (quoted && c == '%' && n_header - i > 2 && strncmp(header + i, "%22", 3) == 0)
                c = '"', i += 2;
            else if (quoted && c == '%' && n_header - i > 2 && strncasecmp(header + i, "%0D", 3) == 0)
                c = '\r', i += 2;
            else if (quoted && c == '%' && n_header - i > 2 && strncasecmp(header + i, "%0A", 3) == 0)
                c = '\n', i += 2;
            if (wanted && n + 1 >= size)
                return -1;
            if (wanted)
                value[n] = c;
            n++;
            i++;
        }
        if (quoted && i == n_header)
            return -1; /* the closing quote is missing */
        if (wanted) {
            value[n] = '\0';
            return 1;
        }
        while (i < n_header && header[i] != ';')
            i++;
    }
    return 0;
}

/* The same of name or, where there is one, of name*=utf-8''caf%C3%A9, which means it (RFC 8187). */
static int parameter_of_any(char *value, size_t size, const char *header, size_t n_header, const char *name)
{
    char starred[16], coded[3 * MULTIPART_NAME_BYTES + 64];
    (void)snprintf(starred, sizeof starred, "%s*", name);
    const int found = parameter(coded, sizeof coded, header, n_header, starred);
    if (found <= 0)
        return found < 0 ? -1 : parameter(value, size, header, n_header, name);
    char *text = strncasecmp(coded, "utf-8'", 6) == 0 ? strchr(coded + 6, '\'') : NULL;
    const long n = text != NULL ? percent_decode(text + 1, strlen(text + 1), false) : -1;
    if (n < 0 || (size_t)n >= size)
        return -1;
    memcpy(value, text + 1, (size_t)n);
    value[n] = '\0';
    return 1;
}

/* Whether a delimiter at `at` (its bytes have been compared) is one: only "--", blanks and a line end may follow. Returns
 * the bytes up to the next part; *last is set for the closing one; 0: it is not a delimiter but content. */
static size_t after_delimiter(const uint8_t *at, const uint8_t *end, bool *last)
{
    const uint8_t *start = at;
    *last = end - at >= 2 && at[0] == '-' && at[1] == '-';
    if (*last)
        return 2;
    while (at < end && (*at == ' ' || *at == '\t'))
        at++;
    if (end - at < 2 || at[0] != '\r' || at[1] != '\n')
        return 0;
    return (size_t)(at - start) + 2;
}

/* Finds the next delimiter from `at`; NULL when there is none. *next is where the following part begins. */
static const uint8_t *find_delimiter(const struct multipart *form, const uint8_t *at, const uint8_t **next, bool *last)
{
    while (at < form->end) {
        const uint8_t *found = memmem(at, (size_t)(form->end - at), form->delimiter, form->n_delimiter);
        if (found == NULL)
            return NULL;
        size_t n = after_delimiter(found + form->n_delimiter, form->end, last);
        if (n > 0) {
            *next = found + form->n_delimiter + n;
            return found;
        }
        at = found + 1;
    }
    return NULL;
}

int multipart_init(struct multipart *form, const char *content_type, const uint8_t *body, size_t n_body,
                   struct err *err)
{
    *form = (struct multipart){.at = body, .end = body + n_body};
    char boundary[71];
    if (parameter(boundary, sizeof boundary, content_type, strlen(content_type), "boundary") != 1)
        return err_set(err, ERR_SYNTAX, "multipart/form-data needs a boundary of 1 to 70 characters in Content-Type");
    size_t n = strlen(boundary);
    bool ok = n > 0 && boundary[n - 1] != ' ';
    for (size_t i = 0; i < n; i++)
        ok = ok && is_boundary_character(boundary[i]);
    if (!ok)
        return err_set(err, ERR_SYNTAX, "the multipart boundary in Content-Type has characters that are not allowed");
    memcpy(form->delimiter, "\r\n--", 4);
    memcpy(form->delimiter + 4, boundary, n);
    form->n_delimiter = n + 4;

    /* The first delimiter may stand at the very start, without CRLF before it. */
    bool last = false;
    size_t skip = 0;
    if (n_body >= n + 2 && memcmp(body, form->delimiter + 2, n + 2) == 0)
        skip = after_delimiter(body + n + 2, form->end, &last);
    if (skip > 0)
        form->at = body + n + 2 + skip;
    else if (find_delimiter(form, body, &form->at, &last) == NULL)
        return err_set(err, ERR_SYNTAX, "the multipart boundary of Content-Type does not occur in the body");
    if (last)
        form->at = form->end = NULL; /* an empty form */
    return 0;
}

/* Reads the part's headers, from form->at to the empty line; returns where the content begins, NULL on error. */
static const uint8_t *read_headers(const struct multipart *form, struct part *part, struct err *err)
{
    static const char disposition[] = "content-disposition:";
    size_t n_disposition = sizeof disposition - 1, room = (size_t)(form->end - form->at);
    const char *at = (const char *)form->at;
    size_t n_search = room < MULTIPART_HEADER_BYTES ? room : MULTIPART_HEADER_BYTES;
    const char *stop = at + n_search;
    bool found = false;
    for (;;) {
        const char *line_end = memmem(at, (size_t)(stop - at), "\r\n", 2);
        if (line_end == NULL) {
            if (room >= MULTIPART_HEADER_BYTES)
                err_set(err, ERR_LIMIT, "part %zu of the form has more than %u bytes of headers", form->n_parts,
                        MULTIPART_HEADER_BYTES);
            else
                err_set(err, ERR_SYNTAX, "the headers of part %zu of the form do not end", form->n_parts);
            return NULL;
        }
        size_t n = (size_t)(line_end - at);
        if (n == 0)
            break;
        if (n >= n_disposition && strncasecmp(at, disposition, n_disposition) == 0) {
            const char *value = at + n_disposition;
            size_t n_value = n - n_disposition;
            while (n_value > 0 && (*value == ' ' || *value == '\t'))
                value++, n_value--;
            bool is_form = n_value >= 9 && strncasecmp(value, "form-data", 9) == 0;
            int has_name = parameter_of_any(part->name, sizeof part->name, value, n_value, "name");
            int has_file = parameter_of_any(part->filename, sizeof part->filename, value, n_value, "filename");
            if (found || !is_form || has_name != 1 || has_file < 0) {
                err_set(err, ERR_SYNTAX,
                        "part %zu of the form needs one Content-Disposition: form-data with a name of at most %u bytes "
                        "(name=\"..\", or name*=utf-8''..)",
                        form->n_parts, MULTIPART_NAME_BYTES - 1);
                return NULL;
            }
            found = true;
        }
        at = line_end + 2;
    }
    if (!found) {
        err_set(err, ERR_SYNTAX, "part %zu of the form has no Content-Disposition: form-data with a name",
                form->n_parts);
        return NULL;
    }
    return (const uint8_t *)at + 2;
}

int multipart_next(struct multipart *form, struct part *part, struct err *err)
{
    if (form->at == NULL)
        return 0;
    part->name[0] = part->filename[0] = '\0';
    const uint8_t *content = read_headers(form, part, err);
    if (content == NULL)
        return -1;
    /* The CRLF that ends the headers may be the one before the delimiter of an empty part. */
    const uint8_t *next = NULL;
    bool last = false;
    const uint8_t *stop = find_delimiter(form, content - 2, &next, &last);
    if (stop == NULL)
        return err_set(err, ERR_SYNTAX, "part %zu of the form is cut: its closing delimiter is missing", form->n_parts);
    part->bytes = content;
    part->n_bytes = stop < content ? 0 : (size_t)(stop - content);
    form->at = last ? NULL : next;
    form->n_parts++;
    return 1;
}
