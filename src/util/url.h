/* Addresses as logs and errors may show them. */
#ifndef QE_UTIL_URL_H
#define QE_UTIL_URL_H

#define QE_URL_SHOWN_BYTES 128

/* Writes `url` without what may be secret in it: a user and password, a query, a fragment. It may
 * be anything that was meant as one, or a text around one; what is long is cut. Returns out. */
const char *qe_url_show(const char *url, char out[QE_URL_SHOWN_BYTES]);

#endif
