/* handlers.h - what answers each route, for the table in routes/routes.c; and what few handlers share. */
#ifndef CONVD_SERVER_ROUTES_HANDLERS_H
#define CONVD_SERVER_ROUTES_HANDLERS_H

#include "server/routes/call.h"

/* job_write - the members of one job of the table. */
void job_write(struct json_writer *json, const struct job_status *job);

void route_predict(const struct call *call);
void scratch_free(void *memory); /* destructor of routes.scratch */
void route_train(const struct call *call);
/* train_samples - the command to train on the images and labels of its batch. Errors: ERR_MEMORY. train_response - renders its response. */
int train_samples(struct work *work, size_t n_input, struct err *err);
void train_response(struct work *work, struct response *response);

void route_model_get(const struct call *call);
void route_model_patch(const struct call *call);
void route_model_safetensors(const struct call *call);
void route_model_onnx(const struct call *call);
void route_model_npz(const struct call *call);
void route_model_kernels(const struct call *call);
void route_classes_get(const struct call *call);
void route_classes_post(const struct call *call);
void route_classes_patch(const struct call *call);
void route_stats(const struct call *call);
void route_history(const struct call *call);
void route_snapshots_get(const struct call *call);
void route_snapshots_post(const struct call *call);
void route_snapshot_get(const struct call *call);
void route_snapshot_patch(const struct call *call);
void route_snapshot_safetensors(const struct call *call);
void route_snapshot_delete(const struct call *call);
void route_snapshot_activate(const struct call *call);
void route_snapshot_diff(const struct call *call);
void route_backup(const struct call *call);
void route_samples_get(const struct call *call);
void route_samples_tar(const struct call *call);
void route_sample_get(const struct call *call);
void route_sample_image(const struct call *call);
void route_events(const struct call *call);
void route_predictions_get(const struct call *call);
void route_prediction_get(const struct call *call);
void route_prediction_delete(const struct call *call);
void route_prediction_image(const struct call *call);
void route_prediction_label(const struct call *call);
void route_rehearse(const struct call *call);
/* route_job_begun - renders the job that has been begun: 202 with its Location, 200 where it has ended. route_job_wait - has the
 * answer wait for that end, as Prefer: wait=N asks. */
void route_job_begun(struct work *work, struct response *response);
void route_job_wait(const struct call *call, struct work *work);
void route_samples_delete(const struct call *call);
void route_samples_patch(const struct call *call);
void route_sample_delete(const struct call *call);
void route_sample_patch(const struct call *call);
/* route_class_removes - whether the body of PATCH /classes is for route_class_remove(). */
bool route_class_removes(const struct json *root);
void route_class_remove(const struct call *call, const struct json *root);
void route_cluster(const struct call *call);
void route_jobs_get(const struct call *call);
void route_job_get(const struct call *call);
void route_job_delete(const struct call *call);
void route_v2(const struct call *call);
void route_v2_live(const struct call *call);
void route_v2_ready(const struct call *call);
void route_v2_model(const struct call *call);
void route_v2_model_ready(const struct call *call);
void route_v2_infer(const struct call *call);
void route_v2_config(const struct call *call);
void route_v2_index(const struct call *call);
void route_v2_stats(const struct call *call);
void route_healthz(const struct call *call);
void route_readyz(const struct call *call);
void route_metrics(const struct call *call);
void route_openapi(const struct call *call);
void route_index(const struct call *call);
void route_web(const struct call *call);
bool web_page(const struct call *call); /* answers / with the page where HTML is asked for; else false */

#endif
