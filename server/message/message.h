/* message.h - the door of server/message/: requests and responses as routes see them; no libmicrohttpd in it.
 *
 * In reading order:
 *   request.{h,c}     what a route sees of a request
 *   request_id.{h,c}  its name in the log and in the response
 *   response.{h,c}    what a route says: status, headers, body
 *   problem.{h,c}     the one table from error to HTTP
 *   metrics.{h,c}     what HTTP did, counted
 */
