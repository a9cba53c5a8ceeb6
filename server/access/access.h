/* access.h - who may ask for what: the door of server/access. Whoever serves requests asks these before it does anything else.
 *
 * In reading order:
 *   guard.{h,c}  against DNS rebinding and foreign web pages
 *   proxy.{h,c}  what a trusted reverse proxy says of its client
 *   auth.{h,c}   two bearer tokens: who may do what
 */
#ifndef CONVD_SERVER_ACCESS_ACCESS_H
#define CONVD_SERVER_ACCESS_ACCESS_H

#include "server/access/auth.h"
#include "server/access/guard.h"
#include "server/access/proxy.h"

#endif
