/* event.h - what can happen to a model. The log is a list of these; the model is their fold.
 *
 * Everything that learner_apply() reads is in the event or in the state: no clock, no address, no thread.
 * The log's columns and JSON are store/'s affair; these structs are what both sides agree on.
 */
#ifndef CONVD_CORE_EVENT_H
#define CONVD_CORE_EVENT_H

#include <stdbool.h>
#include <stdint.h>

#include "core/label.h"
#include "core/settings.h"
#include "core/shape.h"

enum event_kind {
    EVENT_CREATE = 1, /* always revision 1, and only there                               */
    EVENT_TRAIN,      /* the labelled images of one request, in order                    */
    EVENT_CLASS,      /* a class is added or renamed                                     */
    EVENT_TUNE,       /* the tunable settings as they are from now on                    */
    EVENT_REHEARSE,   /* one chunk of training again on past samples                      */
    EVENT_ACTIVATE,   /* the state of an earlier revision is the live one again          */
    EVENT_EDIT,       /* samples before it were forgotten or relabelled: the fold of what is before
                       * it is another now; the event itself changes nothing              */
    EVENT_BASELINE,   /* another arithmetic goes on from here: the state that a snapshot and the log behind
                       * it gave is taken as it is, and what is before does not replay to the same bits */
    EVENT_IDLE,       /* steps on the replay buffer while nothing was asked for              */
    EVENT_KIND_N
};

/* One image with its class, and what the fold made of it. */
struct sample {
    int64_t id;            /* in the log; 0 until the store has given one                          */
    const uint8_t *pixels; /* [channels][height][width], shape.n_input bytes, borrowed              */
    uint32_t label;        /* index of the class                                                   */
    /* out: the prediction before the step (test-then-train) */
    uint32_t predicted; /* argmax of l^2, lowest index on a tie                                     */
    float loss;         /* e = 1/2 sum (l^2 - y)^2                                                  */
    bool refused;       /* the step would have ruined the weights and was not made: core/descent.h     */
    uint64_t step;      /* the model's steps after it, those on past samples that it brought included    */
};

#define IDLE_STEPS_MAX 8192u /* of one event */

enum class_action { CLASS_ADD = 1, CLASS_RENAME };

struct event {
    enum event_kind kind;
    uint64_t revision;  /* log position; set by the store when it appends or reads, by the learner never */
    int64_t created_us; /* microseconds since 1970, for people; the fold never reads it                  */
    union {
        struct {
            struct shape shape;
            struct settings settings;
            uint32_t n_classes;
            const char (*labels)[LABEL_BYTES_MAX + 1]; /* [n_classes], borrowed                                */
            const float *k, *w01, *w12; /* NULL: drawn from the seed. Else [N][n_k], [n_0][n_1], [n_1][n_2]    */
        } create;
        struct {
            uint32_t n;
            struct sample *samples; /* [n], borrowed; id, predicted and loss are written                   */
        } train;
        struct {
            enum class_action action;
            uint32_t index; /* CLASS_ADD: must equal the number of classes; CLASS_RENAME: which one        */
            char label[LABEL_BYTES_MAX + 1];
        } class_;
        struct {
            struct settings settings; /* mean and seed must be those of the model                          */
        } tune;
        /* One chunk of a rehearsal. Let s_0 .. s_(n-1) be the samples of the live lineage whose ids are in the range, as they
         * were before this event, by id. Place i of a pass is s_learner_order(seed, n, i): by rank, not by id, so that
         * the event has one meaning also in an edited log. The chunk is the places begin .. end - 1, in this order. */
        struct {
            int64_t first_id, last_id; /* the range, both ends included                                     */
            uint64_t n;                /* samples of the live lineage in it                                  */
            uint64_t seed;             /* of this pass's order, and of the jitter; below 2^53               */
            uint64_t begin, end;       /* places, begin < end <= n                                          */
            float rate;                /* step size, in place of the setting                                */
            float jitter, rotation;    /* pixels, degrees                                                   */
        } rehearse;
        struct {
            uint64_t revision; /* whose state becomes live                                                  */
        } activate;
        struct {
            uint64_t number;  /* that its rows have: 1, 2, ..                                              */
            uint64_t from;    /* the lowest revision that it touches                                       */
            uint32_t n;       /* samples                                                                   */
            uint8_t rows[32]; /* SHA-256 over its rows: store/replay/edits.c                                      */
        } edit;
        struct {
            char arithmetic[32]; /* that goes on                                                            */
            char before[32];     /* that made the state                                                     */
            uint64_t from;       /* revision of the snapshot that it began with                             */
            uint8_t digest[32];  /* of the state                                                            */
            uint64_t samples; /* of a compaction (store/replay/compaction.c): those of the tally there; 0: it is none */
        } baseline;
        struct {
            uint32_t steps; /* 1 .. IDLE_STEPS_MAX, each as those that a new sample brings: core/learner/learner.h */
        } idle;
    } as;
};

/* event_kind_name - "train" for EVENT_TRAIN: the word in the log. */
const char *event_kind_name(enum event_kind kind);

#endif
