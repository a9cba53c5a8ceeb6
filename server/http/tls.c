/* tls.c - see http/tls.h */
#include "server/http/tls.h"

#include <errno.h>
#include <fcntl.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "server/common/logger.h"

#define PEM_BYTES_MAX 1048576

/* The whole file, zero-terminated and malloc'ed. */
static int read_pem(char **out, const char *path, const char *what, bool secret, struct err *err)
{
    struct stat about;
    char *text = NULL;
    size_t n = 0, size = 0;
    int status = -1, fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return err_set(err, ERR_USAGE, "cannot read the %s in %.120s: %s", what, path, strerror(errno));
    if (fstat(fd, &about) != 0 || !S_ISREG(about.st_mode) || about.st_size > PEM_BYTES_MAX) {
        err_set(err, ERR_USAGE, "%.120s is not a file with a %s", path, what);
        goto out;
    }
    if (secret && (about.st_mode & S_IRWXO) != 0) {
        err_set(err, ERR_USAGE, "%.120s can be read or changed by every user of this machine: chmod o= %.120s", path,
                path);
        goto out;
    }
    size = (size_t)about.st_size;
    text = malloc(size + 1);
    if (text == NULL) {
        err_memory(err, "the %s", what);
        goto out;
    }
    while (n < size) {
        ssize_t got = read(fd, text + n, size - n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            err_set(err, ERR_USAGE, "cannot read the %s in %.120s: %s", what, path,
                    got < 0 ? strerror(errno) : "it shrank");
            goto out;
        }
        n += (size_t)got;
    }
    text[n] = '\0';
    *out = text;
    text = NULL;
    status = 0;
out:
    if (text != NULL)
        explicit_bzero(text, size);
    free(text);
    (void)close(fd);
    return status;
}

static void warn_of_dates(gnutls_x509_crt_t certificate, const char *path)
{
    time_t now = time(NULL);
    if (now < gnutls_x509_crt_get_activation_time(certificate))
        logger_line(LOG_LINE_WARNING, "the certificate in %s is not valid yet: clients will refuse it", path);
    if (now > gnutls_x509_crt_get_expiration_time(certificate))
        logger_line(LOG_LINE_WARNING, "the certificate in %s has expired: clients will refuse it", path);
}

static int check_certificate(char *pem, const char *path, struct err *err)
{
    gnutls_datum_t datum = {.data = (unsigned char *)pem, .size = (unsigned)strlen(pem)};
    gnutls_x509_crt_t *list = NULL;
    unsigned n = 0;
    int status = gnutls_x509_crt_list_import2(&list, &n, &datum, GNUTLS_X509_FMT_PEM, 0);
    if (status < 0 || n == 0)
        return err_set(err, ERR_USAGE, "%.120s is not a certificate in PEM form: %s", path, gnutls_strerror(status));
    warn_of_dates(list[0], path);
    for (unsigned i = 0; i < n; i++)
        gnutls_x509_crt_deinit(list[i]);
    gnutls_free(list);
    return 0;
}

static int check_pair(const struct tls *tls, const char *certificate_file, const char *key_file, struct err *err)
{
    gnutls_datum_t certificate = {.data = (unsigned char *)tls->certificate,
                                  .size = (unsigned)strlen(tls->certificate)};
    gnutls_datum_t key = {.data = (unsigned char *)tls->key, .size = (unsigned)strlen(tls->key)};
    gnutls_certificate_credentials_t both = NULL;
    if (check_certificate(tls->certificate, certificate_file, err) != 0)
        return -1;
    if (gnutls_certificate_allocate_credentials(&both) < 0)
        return err_memory(err, "the certificate");
    int status = gnutls_certificate_set_x509_key_mem2(both, &certificate, &key, GNUTLS_X509_FMT_PEM, NULL, 0);
    gnutls_certificate_free_credentials(both);
    if (status >= 0)
        return 0;
    if (status == GNUTLS_E_CERTIFICATE_KEY_MISMATCH)
        return err_set(err, ERR_USAGE, "the key in %.100s is not that of the certificate in %.100s", key_file,
                       certificate_file);
    if (status == GNUTLS_E_DECRYPTION_FAILED)
        return err_set(err, ERR_USAGE, "the key in %.120s is encrypted, and convd cannot ask for its password: %s",
                       key_file, "openssl pkey -in KEY -out PLAIN decrypts it");
    return err_set(err, ERR_USAGE, "%.120s is not a private key in PEM form: %s", key_file, gnutls_strerror(status));
}

int tls_open(struct tls *out, const char *certificate_file, const char *key_file, struct err *err)
{
    *out = (struct tls){0};
    if (certificate_file == NULL && key_file == NULL)
        return 0;
    if (certificate_file == NULL || key_file == NULL)
        return err_set(err, ERR_USAGE, "TLS needs both --tls-cert and --tls-key: %s is missing",
                       key_file == NULL ? "--tls-key" : "--tls-cert");
    if (read_pem(&out->certificate, certificate_file, "certificate", false, err) == 0 &&
        read_pem(&out->key, key_file, "key", true, err) == 0 && check_pair(out, certificate_file, key_file, err) == 0)
        return 0;
    tls_close(out);
    return -1;
}

void tls_close(struct tls *tls)
{
    if (tls->key != NULL)
        explicit_bzero(tls->key, strlen(tls->key));
    free(tls->certificate);
    free(tls->key);
    *tls = (struct tls){0};
}

/* The response is for the caller to see: a quick one must not be read as part of the handshake. */
static ssize_t read_nothing(gnutls_transport_ptr_t session, void *bytes, size_t n)
{
    (void)bytes, (void)n;
    gnutls_transport_set_errno(*(gnutls_session_t *)session, EAGAIN);
    return -1;
}

static ssize_t send_all(gnutls_transport_ptr_t fd, const void *bytes, size_t n)
{
    return send(*(const int *)fd, bytes, n, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static int never_ready(gnutls_transport_ptr_t session, unsigned milliseconds)
{
    (void)session, (void)milliseconds;
    return 0;
}

bool tls_hello(int fd)
{
    gnutls_session_t session = NULL;
    gnutls_certificate_credentials_t nothing = NULL;
    bool sent = false;
    if (gnutls_init(&session, GNUTLS_CLIENT | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL) < 0)
        return false;
    if (gnutls_certificate_allocate_credentials(&nothing) == 0 && gnutls_set_default_priority(session) == 0 &&
        gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, nothing) == 0) {
        gnutls_transport_set_ptr2(session, &session, &fd);
        gnutls_transport_set_pull_function(session, read_nothing);
        gnutls_transport_set_pull_timeout_function(session, never_ready);
        gnutls_transport_set_push_function(session, send_all);
        sent = gnutls_handshake(session) == GNUTLS_E_AGAIN && gnutls_record_get_direction(session) == 0;
    }
    gnutls_deinit(session);
    if (nothing != NULL)
        gnutls_certificate_free_credentials(nothing);
    return sent;
}
