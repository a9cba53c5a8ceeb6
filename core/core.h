/* core.h - the door of core/: the network and the learner, and nothing else.
 *
 * The one idea of convd: the model is a pure function of an ordered log of events,
 *
 *     state = fold(apply, create, events)
 *
 * in an arithmetic that gives the same bits on every machine. Everything that convd promises (a crash loses nothing, a
 * sample can be forgotten exactly, the past can be visited) is a consequence of that sentence, so this folder keeps it
 * pure: no I/O, no clock, no thread, no global variable, and no allocation after creation. scripts/check-layers proves
 * it from the undefined symbols of the objects.
 *
 * In reading order:
 *   err.{h,c}           how every function says what went wrong
 *   shape.{h,c}         the geometry and its limits, checked once
 *   settings.{h,c}      the hyperparameters: one table that the command line, the routes and the log all walk
 *   label.{h,c}         what may name a class
 *   event.h             what can happen to a model
 *   net.{h,c}           the equations; where the parameters lie, initial weights, forward and one step; arith/ does the
 *                       arithmetic
 *   descent.{h,c}       the step that may be made: none that ruins the weights
 *   explain.{h,c}       what moved an answer
 *   draw.h              random bits by counter
 *   pool.{h,c}          the past samples that are rehearsed
 *   jitter.{h,c}        one of them, a little displaced
 *   drift.{h,c}         has what is shown to the model changed?
 *   learner.{h,c}       the state, and apply(state, event)
 *   learner_internal.h  what the learner's files share
 *   learner_memory.c    the memory of a state, and copies
 *   learner_codec.c     the state as bytes, for digests and snapshots
 *   team.h              how several threads share one step with the same bits
 *   rest.h              what is done between two steps
 */
#ifndef CONVD_CORE_CORE_H
#define CONVD_CORE_CORE_H

#include "core/draw.h"
#include "core/drift.h"
#include "core/err.h"
#include "core/event.h"
#include "core/explain.h"
#include "core/jitter.h"
#include "core/label.h"
#include "core/learner.h"
#include "core/net.h"
#include "core/pool.h"
#include "core/settings.h"
#include "core/shape.h"

#define CONVD_VERSION "0.1.0"

#endif
