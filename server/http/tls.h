/* tls.h - a certificate and its key, checked before anything listens; and the first word of a handshake.
 *
 * The TLS itself is libmicrohttpd's, over GnuTLS: TLS 1.2 and 1.3. http/tls.c is the only file that includes GnuTLS. A new
 * certificate is taken by a restart; with a socket that systemd holds, clients only wait for it.
 */
#ifndef CONVD_SERVER_HTTP_TLS_H
#define CONVD_SERVER_HTTP_TLS_H

#include <stdbool.h>

#include "core/err.h"

/* Which versions and ciphers, in GnuTLS's words: with TLS 1.2 no CBC (padding oracles), and no key exchange without forward secrecy. */
#define TLS_PRIORITIES "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:-RSA:-AES-128-CBC:-AES-256-CBC:%SERVER_PRECEDENCE"

/* PEM texts, zero-terminated; both NULL: no TLS. */
struct tls {
    char *certificate, *key; /* the certificate may be followed by those that vouch for it */
};

/* tls_open - reads both files; NULL: that flag was not given. A certificate that is out of date is warned of in the log.
 * Errors: ERR_USAGE: one without the other, unreadable, a key that others can read, not PEM, a key that is encrypted or
 * not that of the certificate. ERR_MEMORY. */
int tls_open(struct tls *out, const char *certificate_file, const char *key_file, struct err *err);
void tls_close(struct tls *tls); /* wipes the key; a zeroed struct is fine */

/* tls_hello - sends what begins a handshake, as a client, on a socket that does not block: whatever comes back shows that the
 * other end is alive. For the watchdog, which has no use for the rest of the handshake. false: it could not be sent. */
bool tls_hello(int fd);

#endif
