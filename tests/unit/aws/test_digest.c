#include <string.h>

#include "aws/digest.h"
#include "support/check.h"
#include "util/mem.h"

/* FIPS 180-2, appendix B, and the empty message. */
static void sha256_gives_the_published_answers(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *hex;
    } rows[] = {
        {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct qe_err err = {0};
        unsigned char bytes[QE_SHA256_BYTES];
        char hex[QE_SHA256_HEX_BYTES];

        assert_ok(qe_sha256(rows[i].text, strlen(rows[i].text), bytes, &err), err);
        qe_hex(bytes, sizeof bytes, hex);
        assert_string_equal(hex, rows[i].hex);
    }
}

/* RFC 1321, appendix A.5. */
static void md5_gives_the_published_answers(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *hex;
    } rows[] = {
        {"", "d41d8cd98f00b204e9800998ecf8427e"},
        {"a", "0cc175b9c0f1b6a831c399e269772661"},
        {"abc", "900150983cd24fb0d6963f7d28e17f72"},
        {"message digest", "f96b697d7cb7938d525a2f31aaf161d0"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct qe_err err = {0};
        unsigned char bytes[QE_MD5_BYTES];
        char hex[QE_MD5_HEX_BYTES];

        assert_ok(qe_md5(rows[i].text, strlen(rows[i].text), bytes, &err), err);
        qe_hex(bytes, sizeof bytes, hex);
        assert_string_equal(hex, rows[i].hex);
    }
}

/* RFC 4231: a short key, a text longer than a block, a key longer than a block. */
static void hmac_gives_the_published_answers(void **state)
{
    (void)state;
    unsigned char long_key[131];
    const struct {
        const char *key;
        size_t key_bytes;
        const char *text;
        const char *hex;
    } rows[] = {
        {"Jefe", 4, "what do ya want for nothing?",
         "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
        {"\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b", 20,
         "Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"},
        {(const char *)long_key, sizeof long_key,
         "Test Using Larger Than Block-Size Key - Hash Key First",
         "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"},
        {"", 0, "", "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad"},
    };

    memset(long_key, 0xaa, sizeof long_key);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct qe_err err = {0};
        unsigned char bytes[QE_SHA256_BYTES];
        char hex[QE_SHA256_HEX_BYTES];

        assert_ok(qe_hmac_sha256(rows[i].key, rows[i].key_bytes, rows[i].text, strlen(rows[i].text),
                                 bytes, &err),
                  err);
        qe_hex(bytes, sizeof bytes, hex);
        assert_string_equal(hex, rows[i].hex);
    }
}

static void a_keyed_hmac_signs_again_and_again_with_its_key(void **state)
{
    (void)state;
    struct qe_err err = {0};
    struct qe_hmac *hmac = qe_hmac_new("Jefe", 4, &err);
    char text[] = "message 0";

    assert_non_null(hmac);
    for (int i = 0; i < 10; i++) {
        unsigned char kept[QE_SHA256_BYTES];
        unsigned char once[QE_SHA256_BYTES];

        text[sizeof text - 2] = (char)('0' + i);
        assert_int_equal(qe_hmac_run(hmac, text, sizeof text - 1, kept), 0);
        assert_ok(qe_hmac_sha256("Jefe", 4, text, sizeof text - 1, once, &err), err);
        assert_memory_equal(kept, once, sizeof kept);
    }
    qe_hmac_destroy(hmac);
    qe_hmac_destroy(NULL);
}

static void pieces_hash_as_the_whole_and_an_object_is_used_again(void **state)
{
    (void)state;
    struct qe_err err = {0};
    struct qe_sha256 *sha256 = qe_sha256_new(&err);
    struct qe_md5 *md5 = qe_md5_new(&err);

    assert_non_null(sha256);
    assert_non_null(md5);
    for (int round = 0; round < 2; round++) {
        char sha256_hex[QE_SHA256_HEX_BYTES];
        char md5_hex[QE_MD5_HEX_BYTES];

        for (const char *c = "abc"; *c != '\0'; c++) {
            assert_int_equal(qe_sha256_add(sha256, c, 1), 0);
            assert_int_equal(qe_md5_add(md5, c, 1), 0);
        }
        assert_int_equal(qe_sha256_end(sha256, sha256_hex), 0);
        assert_int_equal(qe_md5_end(md5, md5_hex), 0);
        assert_string_equal(sha256_hex,
                            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_string_equal(md5_hex, "900150983cd24fb0d6963f7d28e17f72");
    }
    qe_sha256_destroy(sha256);
    qe_md5_destroy(md5);
    qe_sha256_destroy(NULL);
    qe_md5_destroy(NULL);
}

static int make_all(void *context, struct qe_err *err)
{
    (void)context;
    struct qe_sha256 *sha256 = qe_sha256_new(err);
    struct qe_md5 *md5 = sha256 == NULL ? NULL : qe_md5_new(err);
    struct qe_hmac *hmac = md5 == NULL ? NULL : qe_hmac_new("k", 1, err);
    int rc = hmac == NULL ? -1 : 0;

    qe_sha256_destroy(sha256);
    qe_md5_destroy(md5);
    qe_hmac_destroy(hmac);
    return rc;
}

static void out_of_memory_is_said_so(void **state)
{
    (void)state;
    qe_check_torture(make_all, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sha256_gives_the_published_answers),
        cmocka_unit_test(md5_gives_the_published_answers),
        cmocka_unit_test(hmac_gives_the_published_answers),
        cmocka_unit_test(a_keyed_hmac_signs_again_and_again_with_its_key),
        cmocka_unit_test(pieces_hash_as_the_whole_and_an_object_is_used_again),
        cmocka_unit_test(out_of_memory_is_said_so),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
