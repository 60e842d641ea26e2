/* Any bytes as an address, of a broker and to listen on: what is taken has a host and a port, and
 * written anew is taken for the same. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/rabbitmq/amqp_url.h"
#include "http/listen.h"
#include "util/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int condition, const char *what, const char *text)
{
    if (!condition) {
        (void)fprintf(stderr, "broken promise: %s: %s\n", what, text);
        abort();
    }
}

static bool is_host(const char *host, size_t max_bytes)
{
    return memchr(host, '\0', max_bytes) != NULL && strpbrk(host, " \t\r\n#@?") == NULL;
}

/* Only there may it stand as it is. */
static bool needs_brackets(const char *host)
{
    return strpbrk(host, ":/") != NULL || host[0] == '[';
}

static void check_amqp(const char *text)
{
    struct qe_amqp_url url = {0};
    struct qe_amqp_url again = {0};
    struct qe_err err = {0};
    char written[320];

    if (qe_amqp_url_parse(text, &url, &err) != 0) {
        require(err.code == QE_ERR_INVALID && err.message[0] != '\0', "a refusal says why", text);
        require(url.port == 0 && url.host[0] == '\0', "and gives nothing", text);
        return;
    }
    require(is_host(url.host, sizeof url.host) && url.host[0] != '\0', "a host", text);
    require(url.port > 0 && url.port <= 65535, "a port", text);
    (void)snprintf(written, sizeof written,
                   needs_brackets(url.host) ? "amqp%s://[%s]:%d/" : "amqp%s://%s:%d/",
                   url.is_tls ? "s" : "", url.host, url.port);
    require(qe_amqp_url_parse(written, &again, &err) == 0, "it is taken anew", written);
    require(again.is_tls == url.is_tls && again.port == url.port &&
                strcmp(again.host, url.host) == 0,
            "for the same", written);
}

static void check_listen(const char *text)
{
    struct qe_listen_address address = {0};
    struct qe_listen_address again = {0};
    struct qe_err err = {0};
    char written[320];

    if (qe_listen_parse(text, &address, &err) != 0) {
        require(err.code == QE_ERR_INVALID && err.message[0] != '\0', "a refusal says why", text);
        return;
    }
    require(is_host(address.host, sizeof address.host), "a host", text);
    require(address.port <= 65535, "a port", text);
    require(text[0] == '[' || !needs_brackets(address.host), "brackets around colons", text);
    (void)snprintf(written, sizeof written, needs_brackets(address.host) ? "[%s]:%u" : "%s:%u",
                   address.host, address.port);
    require(qe_listen_parse(written, &again, &err) == 0, "it is taken anew", written);
    require(again.port == address.port && strcmp(again.host, address.host) == 0, "for the same",
            written);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = qe_memdup(data, size);

    require(text != NULL, "memory", "");
    check_amqp(text);
    check_listen(text);
    qe_free(text);
    return 0;
}
