#include <gnutls/x509.h>
#include <stdio.h>

#include "tls/tls_internal.h"

const char *tls_explain_certificate(char out[TLS_TEXT_BYTES], unsigned status, const char *name)
{
        gnutls_datum_t printed = {NULL, 0};

        if (status & GNUTLS_CERT_EXPIRED)
                return "the certificate has expired";
        if (status & GNUTLS_CERT_NOT_ACTIVATED)
                return "the certificate is not valid yet: check the clock of this machine";
        if (status & GNUTLS_CERT_REVOKED)
                return "the certificate is revoked";
        if (status & (GNUTLS_CERT_SIGNER_NOT_FOUND | GNUTLS_CERT_SIGNER_NOT_CA))
                return name ? "the certificate is signed by an unknown authority: add it to the system's trust store "
                              "or "
                              "set ca_file"
                            : "the certificate is not signed by an authority in client_ca";
        if (status & GNUTLS_CERT_SIGNATURE_FAILURE)
                return "the certificate's signature is not by the trusted authority of that name";
        if (status & GNUTLS_CERT_UNEXPECTED_OWNER) {
                (void)snprintf(out, TLS_TEXT_BYTES, "the certificate is for another name than \"%s\"", name);
                return out;
        }
        if (status & GNUTLS_CERT_INSECURE_ALGORITHM)
                return "the certificate uses an algorithm that is no longer safe";
        if (status & GNUTLS_CERT_PURPOSE_MISMATCH)
                return name ? "the certificate is not meant for a TLS server"
                            : "the certificate is not meant for a TLS client";
        if (gnutls_certificate_verification_status_print(status, GNUTLS_CRT_X509, &printed, 0))
                return "the certificate cannot be verified";
        (void)snprintf(out, TLS_TEXT_BYTES, "%s", (const char *)printed.data);
        gnutls_free(printed.data);
        return out;
}

const char *tls_explain_error(char out[TLS_TEXT_BYTES], gnutls_session_t session, int error, const char *name)
{
        const char *alert;

        switch (error) {
        case GNUTLS_E_CERTIFICATE_VERIFICATION_ERROR:
                return tls_explain_certificate(out, gnutls_session_get_verify_cert_status(session), name);
        case GNUTLS_E_FATAL_ALERT_RECEIVED:
                alert = gnutls_alert_get_name(gnutls_alert_get(session));
                (void)snprintf(out, TLS_TEXT_BYTES, "the %s refused with the alert \"%s\"", name ? "server" : "client",
                               alert ? alert : "unknown");
                return out;
        case GNUTLS_E_UNEXPECTED_PACKET_LENGTH:
        case GNUTLS_E_UNSUPPORTED_VERSION_PACKET:
        case GNUTLS_E_UNEXPECTED_PACKET:
        case GNUTLS_E_RECORD_OVERFLOW:
                (void)snprintf(out, TLS_TEXT_BYTES, "the %s does not speak TLS 1.2 or 1.3 on this port (%s)",
                               name ? "server" : "client", gnutls_strerror(error));
                return out;
        default:
                return gnutls_strerror(error);
        }
}
