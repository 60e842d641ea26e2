#include "util/url.h"

#include <stdio.h>
#include <string.h>

#include "util/text.h"

#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DOTS "..."

const char *qe_url_show(const char *url, char out[QE_URL_SHOWN_BYTES])
{
    /* The last one: a password may hold an @ itself, and a / or ? too, where nobody escaped it. */
    const char *at = strrchr(url, '@');
    const char *shown = at != NULL ? at : url;
    const size_t scheme_bytes = strspn(url, LETTERS);
    const bool has_scheme = at != NULL && strncmp(url + scheme_bytes, "://", 3) == 0;
    const size_t bytes = strcspn(shown, "?#");
    const size_t fits = qe_text_cut(shown, bytes, QE_URL_SHOWN_BYTES / 2);

    (void)snprintf(out, QE_URL_SHOWN_BYTES, "%.*s%s%.*s%s", has_scheme ? (int)scheme_bytes + 3 : 0,
                   url, at != NULL ? DOTS : "", (int)fits, shown, shown[fits] != '\0' ? DOTS : "");
    return out;
}
