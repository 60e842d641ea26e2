#include "aws/url.h"

#include <arpa/inet.h>
#include <string.h>

#define DIGITS "0123456789"

static bool is_name(const char *host, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const char c = host[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '-' || c == '.' || c == '_')) {
            return false;
        }
    }
    return count > 0 && count <= QE_AWS_HOST_MAX_BYTES && host[0] != '-' && host[0] != '.';
}

static bool is_ipv6(const char *host, size_t count)
{
    return count > 2 && count <= 64 && host[0] == '[' && host[count - 1] == ']' &&
           strspn(host + 1, "0123456789abcdefABCDEF:.") == count - 2;
}

static bool is_port(const char *port, size_t count)
{
    uint64_t number = 0;

    for (size_t i = 0; i < count; i++) {
        number = number * 10 + (uint64_t)(port[i] - '0');
    }
    return count > 0 && count <= 5 && strspn(port, DIGITS) == count && number > 0 &&
           number <= 65535;
}

const char *qe_aws_url_split(const char *url, bool with_query, struct qe_aws_url *out)
{
    const size_t length = strlen(url);

    for (size_t i = 0; i < length; i++) {
        if (url[i] <= ' ' || url[i] > '~') {
            return "it holds a blank or another character that has no place in a URL";
        }
    }
    if (length > QE_AWS_URL_MAX_BYTES) {
        return "it is too long";
    }
    out->is_https = strncmp(url, "https://", 8) == 0;
    if (!out->is_https && strncmp(url, "http://", 7) != 0) {
        return "it does not begin with https:// or http://";
    }
    out->host = url + (out->is_https ? 8 : 7);
    const size_t authority_bytes = strcspn(out->host, "/?#");
    const char *end = out->host + authority_bytes;

    if (memchr(out->host, '@', authority_bytes) != NULL) {
        return "it holds a user name or password";
    }
    out->host_bytes =
        out->host[0] == '[' ? strcspn(out->host, "]/") + 1 : strcspn(out->host, ":/?#");
    out->path = end;
    if (end[strcspn(end, with_query ? "#" : "?#")] != '\0') {
        return "it has a query or a fragment";
    }
    if (out->host_bytes > authority_bytes ||
        !(is_name(out->host, out->host_bytes) || is_ipv6(out->host, out->host_bytes))) {
        return "its host is missing or not a host name";
    }
    out->port = out->host + out->host_bytes;
    out->port_bytes = (size_t)(end - out->port);
    if (out->port_bytes > 0) {
        if (out->port[0] != ':' || !is_port(out->port + 1, out->port_bytes - 1)) {
            return "its port is not a number from 1 to 65535";
        }
        out->port++;
        out->port_bytes--;
    }
    return NULL;
}

bool qe_aws_url_is_host(const struct qe_aws_url *url, const char *host)
{
    return url->host_bytes == strlen(host) && memcmp(url->host, host, url->host_bytes) == 0;
}

bool qe_aws_url_is_loopback(const struct qe_aws_url *url)
{
    char host[INET_ADDRSTRLEN];
    struct in_addr address = {0};

    if (qe_aws_url_is_host(url, "localhost") || qe_aws_url_is_host(url, "[::1]")) {
        return true;
    }
    if (url->host_bytes >= sizeof host) {
        return false;
    }
    memcpy(host, url->host, url->host_bytes);
    host[url->host_bytes] = '\0';
    return inet_pton(AF_INET, host, &address) == 1 && (ntohl(address.s_addr) >> 24) == 127;
}
