#include <string.h>

#include "support/check.h"
#include "util/url.h"

static void what_may_be_secret_in_an_address_is_not_shown(void **state)
{
    static const struct {
        const char *url;
        const char *shown;
    } rows[] = {
        {"http://rabbit:15672/api", "http://rabbit:15672/api"},
        {"", ""},
        {"orders", "orders"},
        {"http://u:s3cret@rabbit:15672", "http://...@rabbit:15672"},
        {"u:s3cret@rabbit", "...@rabbit"},
        {"http://u:s3@cret@rabbit", "http://...@rabbit"},
        {"http://u:s3cret?/#@rabbit", "http://...@rabbit"},
        {"u:s3://cret@rabbit", "...@rabbit"},
        {"http://rabbit/?token=s3cret", "http://rabbit/..."},
        {"http://rabbit/#s3cret", "http://rabbit/..."},
        {"http://rabbit/?mail=s3cret@x", "http://...@x"},
        {"amqps://u:s3cret@rabbit/?s3cret", "amqps://...@rabbit/..."},
        {"Unsupported proxy syntax in 'foo://u:s3cret@proxy': Bad scheme",
         "...@proxy': Bad scheme"},
        {"http://rabbit/0123456789012345678901234567890123456789012345678901234567890123456789",
         "http://rabbit/01234567890123456789012345678901234567890123456789..."},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char shown[QE_URL_SHOWN_BYTES];

        assert_string_equal(qe_url_show(rows[i].url, shown), rows[i].shown);
    }
}

/* Whatever its parts are as long as: the end is there. */
static void a_long_scheme_leaves_room_for_its_end(void **state)
{
    char url[400];
    char shown[QE_URL_SHOWN_BYTES];

    (void)state;
    memset(url, 'a', sizeof url);
    memcpy(url + 300, "://u:s3cret@h", sizeof "://u:s3cret@h");
    assert_null(strstr(qe_url_show(url, shown), "s3cret"));
    assert_true(strlen(shown) < sizeof shown);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_may_be_secret_in_an_address_is_not_shown),
        cmocka_unit_test(a_long_scheme_leaves_room_for_its_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
