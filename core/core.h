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
 *   machine.h           what a processor and a compiler must be for that
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
 *   grow.h              a list that grows as items come
 *   jitter.{h,c}        an image, a little displaced
 *   team.h              how several threads share one step with the same bits
 *   yield.h             what is done between two steps
 *
 * core/arith/ does the arithmetic, by instruction set; core/learner/ is the fold, on all of this.
 */
#ifndef CONVD_CORE_CORE_H
#define CONVD_CORE_CORE_H

#include "core/draw.h"
#include "core/err.h"
#include "core/event.h"
#include "core/explain.h"
#include "core/grow.h"
#include "core/jitter.h"
#include "core/label.h"
#include "core/learner/calibration.h"
#include "core/learner/drift.h"
#include "core/learner/health.h"
#include "core/learner/learner.h"
#include "core/learner/novelty.h"
#include "core/learner/replay_buffer.h"
#include "core/net.h"
#include "core/settings.h"
#include "core/shape.h"

#define CONVD_VERSION "0.1.0"

#endif
