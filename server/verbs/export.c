/* export.c - convd export: the model as a file in one of several formats, its kernels as a picture. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/cli/client.h"
#include "server/cli/io.h"
#include "server/cli/offline.h"
#include "server/formats/npz.h"
#include "server/formats/onnx.h"
#include "server/formats/safetensors.h"
#include "server/image/kernel_sheet.h"
#include "server/verbs/verbs.h"

static const struct cli_flag flags[] = {
    CLI_FLAG_DB,
    CLI_FLAG_URL,
    {FLAG_TEXT("safetensors", "OUT", NULL, "write the parameters; \"-\": stdout")},
    {FLAG_TEXT("onnx", "OUT", NULL, "write the network, for ONNX Runtime and others")},
    {FLAG_TEXT("npz", "OUT", NULL, "write the parameters, for numpy")},
    {FLAG_TEXT("kernels", "OUT.png", NULL, "write the kernels as a picture; \"-\": stdout")},
    CLI_FLAG_FORCE,
    CLI_FLAG_JSON,
    CLI_FLAG_END,
};

/* What can be exported: the flag, how a database gives it, where a daemon has it. */
static const struct format {
    const char *flag;
    int (*encode)(uint8_t **bytes, size_t *n_bytes, const struct learner *learner, struct err *err);
    const char *path;
} formats[] = {
    {"safetensors", safetensors_encode, "/model.safetensors"},
    {"onnx", onnx_encode, "/model.onnx"},
    {"npz", npz_encode, "/model.npz"},
    {"kernels", sheet_kernels, "/model/kernels.png"},
};

#define N_FORMATS (sizeof formats / sizeof *formats)

/* notes: where it is told, json: of --json, or NULL. */
static void tell(const struct format *format, const char *name, size_t n_bytes, FILE *notes, struct json_writer *json)
{
    if (json == NULL) {
        cli_say(notes, "wrote %s: %zu bytes\n", name, n_bytes);
        return;
    }
    json_write_object(json, NULL);
    json_write_string(json, "format", format->flag);
    json_write_string(json, "file", name);
    json_write_u64(json, "bytes", n_bytes);
    json_write_end(json);
}

/* learner or client: the other one is NULL. */
static int export_one(const struct format *format, const struct cli_output *out, const struct learner *learner,
                      struct client *client, FILE *notes, struct json_writer *json, struct err *err)
{
    uint8_t *bytes = NULL;
    struct client_reply reply = {0};
    size_t n_bytes = 0;
    int status;
    if (client != NULL) {
        struct client_request request = {.method = "GET", .path = format->path, .safe = true};
        status = client_send(client, &request, &reply, err);
        n_bytes = reply.n_body;
    } else {
        status = format->encode(&bytes, &n_bytes, learner, err);
    }
    if (status == 0)
        status = cli_output_write(out, client != NULL ? (const uint8_t *)reply.body : bytes, n_bytes, err);
    if (status == 0 && out->path != NULL)
        tell(format, out->name, n_bytes, notes, json);
    free(bytes);
    client_reply_fini(&reply);
    return status;
}

/* Where each goes, before anything else is opened. */
static int open_outputs(struct cli_output outputs[N_FORMATS], size_t *n_stdout, const struct cli_args *args,
                        struct err *err)
{
    size_t wanted = 0;
    for (size_t i = 0; i < N_FORMATS; i++) {
        if (!cli_given(args, formats[i].flag))
            continue;
        wanted++;
        if (cli_output_open(&outputs[i], cli_text(args, formats[i].flag), cli_on(args, "force"), err) != 0)
            return -1;
        *n_stdout += outputs[i].path == NULL;
        for (size_t j = 0; j < i && outputs[i].path != NULL && !outputs[i].in_place; j++)
            if (outputs[j].path != NULL && strcmp(outputs[i].path, outputs[j].path) == 0)
                return err_set(err, ERR_USAGE, "--%s and --%s name the same file", formats[j].flag, formats[i].flag);
    }
    if (wanted == 0)
        return err_set(err, ERR_USAGE, "nothing to write: give --safetensors, --onnx, --npz or --kernels and a file");
    if (*n_stdout > 1)
        return err_set(err, ERR_USAGE, "only one file can go to stdout");
    if (*n_stdout > 0 && cli_on(args, "json"))
        return err_set(err, ERR_USAGE, "--json goes to stdout, and so would a file: name it");
    return 0;
}

static int run(const struct cli_args *args, struct err *err)
{
    const char *url = NULL;
    size_t n_stdout = 0;
    struct cli_output outputs[N_FORMATS] = {0};
    struct offline model = {0};
    struct client *client = NULL;
    struct text text = {0};
    struct json_writer json = json_write_begin(&text);
    const bool as_json = cli_on(args, "json");
    json_write_array(&json, "files");
    int status = open_outputs(outputs, &n_stdout, args, err);
    if (status == 0)
        status = cli_url(&url, args, err);
    cli_stop_watch();
    if (status == 0)
        status = url != NULL ? client_open(&client, url, CLIENT_PATIENCE_SECONDS, cli_stop_flag(), err)
                             : offline_open(&model, args, true, err);
    for (size_t i = 0; i < N_FORMATS && status == 0; i++)
        if (cli_given(args, formats[i].flag))
            status = export_one(&formats[i], &outputs[i], model.learner, client, n_stdout > 0 ? stderr : stdout,
                                as_json ? &json : NULL, err);
    json_write_end(&json);
    if (status == 0 && as_json)
        status = cli_print_object(&json, err);
    text_free(&text);
    client_close(client);
    offline_close(&model);
    for (size_t i = 0; i < N_FORMATS; i++)
        cli_output_fini(&outputs[i]);
    return status;
}

const struct cli_verb cli_export = {
    .name = "export",
    .purpose = "write the model as safetensors, ONNX or npz, or its kernels as a picture",
    .operands = "",
    .details =
        "The tensors are `kernels` [N, channels, kernel height, kernel width], `w01` [n0, n1] and `w12` [n1, n2], "
        "F32;\n"
        "the metadata has classes, geometry and settings, so that `convd init --from` makes an equal model of a "
        "safetensors\n"
        "file. ONNX has the whole network: uint8 pixels [batch, channels, height, width] in, probabilities out.\n"
        "A file appears complete or not at all. An existing file is overwritten only with --force, and a database\n"
        "never.\n",
    .examples = "  convd export --db digits.db --safetensors digits.safetensors --kernels kernels.png\n"
                "  convd export --url http://127.0.0.1:8080 --safetensors - | sha256sum\n",
    .flags = flags,
    .run = run,
};
