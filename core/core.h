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
 *   err.h       how failure is told
 *   shape.h     the geometry and its limits
 *   settings.h  the hyperparameters
 *   label.h     what may name a class
 *   event.h     what can happen
 *   net.h       the equations, the parameters, forward and step
 *   model/explain.h   what moved an answer
 *   draw.h      random bits by counter
 *   pool.h      the past samples that are rehearsed
 *   jitter.h    one of them, a little displaced
 *   drift.h     has what is shown to the model changed?
 *   learner.h   the state and apply()
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
