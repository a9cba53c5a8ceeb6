/* events.c - GET /events: routes/feed.h as text/event-stream. */
#include "server/routes/feed.h"
#include "server/routes/handlers.h"

#define SECONDS_MAX ((uint64_t)366 * 24 * 3600)

void route_events(const struct call *call)
{
    uint64_t seconds = EVENTS_FOREVER;
    struct err err;
    struct response *response = call->response;
    if (request_param_number(call->request, "seconds", 0, SECONDS_MAX, &seconds, &err) != 0 ||
        events_open(&response->stream, call->routes->events, call->request->last_event_id, seconds, &err) != 0) {
        routes_problem(call->routes, response, &err);
        return;
    }
    response->status = 200;
    response->type = "text/event-stream; charset=utf-8";
}
