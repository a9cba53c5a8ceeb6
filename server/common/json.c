/* json.c - see common/json.h. The one file that knows cJSON.
 *
 * cJSON by itself takes trailing garbage, control characters as white space, "01", invalid UTF-8, and recurses a
 * thousand levels deep; json_scan() has refused all that before cJSON_Parse sees a byte. (cJSON also notes the place of
 * its last error in a static variable; nobody reads it, and after the scan there is no error but want of memory.)
 */
#include "server/common/json.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/common/json_scan.h"

static const cJSON *node(const struct json *value)
{
    return (const cJSON *)value;
}

static struct json *view(cJSON *item)
{
    return (struct json *)item;
}

/* ---- reading ---- */

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Sorted, so that an object of a hundred thousand members costs n log n and not the square. */
static int check_names(const cJSON *object, struct err *err)
{
    size_t n = 0;
    for (const cJSON *m = object->child; m != NULL; m = m->next)
        n++;
    if (n < 2)
        return 0;
    const char *few[32];
    const char **names = n <= 32 ? few : malloc(n * sizeof *names);
    if (names == NULL)
        return err_memory(err, "%zu names", n);
    size_t i = 0;
    for (const cJSON *m = object->child; m != NULL; m = m->next)
        names[i++] = m->string;
    qsort(names, n, sizeof *names, compare_names);
    int status = 0;
    for (i = 1; i < n && status == 0; i++)
        if (strcmp(names[i - 1], names[i]) == 0)
            status = err_set(err, ERR_SYNTAX, "the member \"%.60s\" is given twice", names[i]);
    if (names != few)
        free(names);
    return status;
}

/* Puts "/name" before the error's pointer, with ~ and / escaped as RFC 6901 wants; long names are cut. */
static void point_under(struct err *err, const char *name)
{
    char escaped[ERR_POINTER_BYTES];
    size_t at = 0;
    for (; *name != '\0' && at < sizeof escaped - 2; name++) {
        if (*name == '~' || *name == '/') {
            escaped[at++] = '~';
            escaped[at++] = *name == '~' ? '0' : '1';
        } else {
            escaped[at++] = *name;
        }
    }
    escaped[at] = '\0';
    err_under(err, "/%s", escaped);
}

/* What the scan could not see. Recurses at most JSON_DEPTH_MAX deep. */
static int check_tree(const cJSON *value, struct err *err)
{
    if (cJSON_IsNumber(value) && !isfinite(value->valuedouble))
        return err_set(err, ERR_SYNTAX, "the number is too large for a double");
    if (cJSON_IsObject(value) && check_names(value, err) != 0)
        return -1;
    size_t index = 0;
    for (const cJSON *c = value->child; c != NULL; c = c->next, index++) {
        if (check_tree(c, err) == 0)
            continue;
        if (c->string != NULL)
            point_under(err, c->string);
        else
            err_under(err, "/%zu", index);
        return -1;
    }
    return 0;
}

struct json *json_parse(const char *bytes, size_t n_bytes, struct err *err)
{
    if (json_scan(bytes, n_bytes, err) != 0)
        return NULL;
    const size_t mark = json_mark(bytes, n_bytes);
    cJSON *root = cJSON_ParseWithLength(bytes + mark, n_bytes - mark);
    if (root == NULL) {
        err_memory(err, "a JSON text of %zu bytes", n_bytes);
        return NULL;
    }
    if (check_tree(root, err) != 0) {
        cJSON_Delete(root);
        return NULL;
    }
    return view(root);
}

void json_free(struct json *root)
{
    cJSON_Delete((cJSON *)root);
}

enum json_type json_type(const struct json *value)
{
    switch (node(value)->type & 0xFF) {
    case cJSON_False:
    case cJSON_True:
        return JSON_BOOL;
    case cJSON_Number:
        return JSON_NUMBER;
    case cJSON_String:
        return JSON_STRING;
    case cJSON_Array:
        return JSON_ARRAY;
    case cJSON_Object:
        return JSON_OBJECT;
    default:
        return JSON_NULL;
    }
}

const char *json_type_name(const struct json *value)
{
    if (value == NULL)
        return "nothing";
    switch (json_type(value)) {
    case JSON_BOOL:
        return "a boolean";
    case JSON_NUMBER:
        return "a number";
    case JSON_STRING:
        return "a string";
    case JSON_ARRAY:
        return "an array";
    case JSON_OBJECT:
        return "an object";
    case JSON_NULL:
        break;
    }
    return "null";
}

const struct json *json_get(const struct json *object, const char *name)
{
    return cJSON_IsObject(node(object)) ? view(cJSON_GetObjectItemCaseSensitive(node(object), name)) : NULL;
}

const struct json *json_first(const struct json *array_or_object)
{
    const cJSON *v = node(array_or_object);
    return cJSON_IsArray(v) || cJSON_IsObject(v) ? view(v->child) : NULL;
}

const struct json *json_next(const struct json *value)
{
    return view(node(value)->next);
}

size_t json_length(const struct json *array_or_object)
{
    size_t n = 0;
    for (const struct json *v = json_first(array_or_object); v != NULL; v = json_next(v))
        n++;
    return n;
}

const char *json_name(const struct json *member)
{
    return node(member)->string;
}

double json_number(const struct json *value)
{
    return cJSON_IsNumber(node(value)) ? node(value)->valuedouble : 0.0;
}

bool json_whole(uint64_t *out, const struct json *value, uint64_t low, uint64_t high)
{
    const double number = cJSON_IsNumber(node(value)) ? node(value)->valuedouble : -1;
    if (!(number >= (double)low && number <= (double)high) || number != (double)(uint64_t)number)
        return false;
    *out = (uint64_t)number;
    return true;
}

bool json_bool(const struct json *value)
{
    return cJSON_IsTrue(node(value)) != 0;
}

const char *json_string(const struct json *value)
{
    return cJSON_IsString(node(value)) ? node(value)->valuestring : NULL;
}

char *json_print(const struct json *root)
{
    return cJSON_Print(node(root));
}
