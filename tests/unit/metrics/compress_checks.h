/* What every compressor promises; run against ISA-L (where built) and against zlib. */
#ifndef QE_TESTS_UNIT_METRICS_COMPRESS_CHECKS_H
#define QE_TESTS_UNIT_METRICS_COMPRESS_CHECKS_H

#include <stdio.h>

#include "fixture.h"
#include "metrics/compress.h"
#include "util/clock.h"

#define PIECES_COUNT 7

struct piece {
    char *bytes;
    size_t count;
};

/* Empty, tiny, repetitive, larger than a stored block, larger than the window, incompressible. */
static void make_pieces(struct piece pieces[PIECES_COUNT])
{
    static const size_t counts[PIECES_COUNT] = {0, 1, 300, 65535, 65536, 200000, 150000};
    struct qe_random random;

    qe_random_init(&random, 7);
    for (size_t i = 0; i < PIECES_COUNT; i++) {
        pieces[i].count = counts[i];
        pieces[i].bytes = qe_calloc(counts[i] + 1, 1);
        assert_non_null(pieces[i].bytes);
        for (size_t k = 0; k < counts[i]; k++) {
            pieces[i].bytes[k] = i == PIECES_COUNT - 1 ? (char)(qe_random_next(&random) & 0xff)
                                                       : (char)('a' + (char)(k * (i + 3) % 26));
        }
    }
}

static void free_pieces(struct piece pieces[PIECES_COUNT])
{
    for (size_t i = 0; i < PIECES_COUNT; i++) {
        qe_free(pieces[i].bytes);
    }
}

/* Stitches segments into one member and reads it with zlib. */
static void check_member(const struct qe_segment *segments, const struct piece *pieces,
                         size_t count)
{
    struct qe_gzip_sum sum = {0};
    struct qe_strbuf member;
    struct qe_strbuf plain;
    unsigned char trailer[QE_GZIP_TRAILER_BYTES];
    size_t length = 0;

    qe_strbuf_init(&member, 0);
    qe_strbuf_init(&plain, 0);
    (void)qe_strbuf_append(&member, qe_gzip_header, QE_GZIP_HEADER_BYTES);
    for (size_t i = 0; i < count; i++) {
        (void)qe_strbuf_append(&member, segments[i].data, segments[i].size_bytes);
        (void)qe_strbuf_append(&plain, pieces[i].bytes, pieces[i].count);
        qe_gzip_sum_add(&sum, &segments[i]);
    }
    qe_gzip_trailer(&sum, trailer);
    (void)qe_strbuf_append(&member, trailer, sizeof trailer);
    char *got = gunzip(member.data, member.length_bytes, &length);

    assert_int_equal(length, plain.length_bytes);
    if (length > 0) {
        assert_memory_equal(got, plain.data, length);
    }
    qe_free(got);
    qe_strbuf_deinit(&plain);
    qe_strbuf_deinit(&member);
}

static void segments_stitch_to_one_member(void **state)
{
    struct qe_err err = {0};
    struct piece pieces[PIECES_COUNT];
    struct qe_segment segments[PIECES_COUNT] = {0};
    struct qe_compressor *compressor = qe_compressor_new(&err);

    (void)state;
    assert_non_null(compressor);
    make_pieces(pieces);
    for (size_t i = 0; i < PIECES_COUNT; i++) {
        assert_ok(
            qe_segment_compress(compressor, &segments[i], pieces[i].bytes, pieces[i].count, &err),
            err);
        assert_int_equal(segments[i].plain_bytes, pieces[i].count);
        check_member(&segments[i], &pieces[i], 1);
    }
    check_member(segments, pieces, PIECES_COUNT);
    check_member(segments, pieces, 0);
    for (size_t i = 0; i < PIECES_COUNT; i++) {
        qe_segment_deinit(&segments[i]);
        qe_segment_deinit(&segments[i]); /* twice is safe */
    }
    free_pieces(pieces);
    qe_compressor_destroy(compressor);
    qe_compressor_destroy(NULL);
}

static void stored_segments_stitch_with_compressed_ones(void **state)
{
    struct qe_err err = {0};
    struct piece pieces[PIECES_COUNT];
    struct qe_segment segments[PIECES_COUNT] = {0};
    struct qe_compressor *compressor = qe_compressor_new(&err);

    (void)state;
    assert_non_null(compressor);
    make_pieces(pieces);
    for (size_t i = 0; i < PIECES_COUNT; i++) {
        if (i % 2 == 0 && pieces[i].count <= 65535) {
            assert_ok(qe_segment_store(&segments[i], pieces[i].bytes, pieces[i].count, &err), err);
            check_member(&segments[i], &pieces[i], 1);
        } else {
            assert_ok(qe_segment_compress(compressor, &segments[i], pieces[i].bytes,
                                          pieces[i].count, &err),
                      err);
        }
    }
    check_member(segments, pieces, PIECES_COUNT);
    struct qe_segment untouched = {0};
    assert_int_equal(qe_segment_store(&untouched, pieces[4].bytes, 65536, &err), -1);
    assert_int_equal(err.code, QE_ERR_LIMIT);
    assert_null(untouched.data);
    for (size_t i = 0; i < PIECES_COUNT; i++) {
        qe_segment_deinit(&segments[i]);
    }
    free_pieces(pieces);
    qe_compressor_destroy(compressor);
}

static void repetitive_text_becomes_much_smaller(void **state)
{
    struct qe_err err = {0};
    struct qe_segment segment = {0};
    struct qe_compressor *compressor = qe_compressor_new(&err);
    struct qe_strbuf text;

    (void)state;
    assert_non_null(compressor);
    qe_strbuf_init(&text, 0);
    for (size_t i = 0; i < 1000; i++) {
        (void)qe_strbuf_printf(&text, "queue_messages_ready{source=\"a\",queue=\"q%zu\"} 7\n", i);
    }
    assert_ok(qe_segment_compress(compressor, &segment, text.data, text.length_bytes, &err), err);
    assert_true(segment.size_bytes * 5 < text.length_bytes);
    qe_segment_deinit(&segment);
    qe_strbuf_deinit(&text);
    qe_compressor_destroy(compressor);
}

static int compress_something(void *context, struct qe_err *err)
{
    struct qe_segment segment = {0};
    struct qe_compressor *compressor = qe_compressor_new(err);
    int rc = -1;

    (void)context;
    if (compressor != NULL) {
        rc = qe_segment_compress(compressor, &segment, "some text", 9, err);
    }
    qe_segment_deinit(&segment);
    if (rc == 0) {
        rc = qe_segment_store(&segment, "some text", 9, err);
    }
    qe_segment_deinit(&segment);
    qe_compressor_destroy(compressor);
    return rc;
}

static void compressing_survives_running_out_of_memory(void **state)
{
    (void)state;
    qe_check_torture(compress_something, NULL);
}

static void the_library_is_named_with_its_version(void **state)
{
    (void)state;
    print_message("compressing with %s\n", qe_compress_library());
    assert_non_null(strpbrk(qe_compress_library(), "0123456789"));
}

static int run_compress_checks(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(segments_stitch_to_one_member),
        cmocka_unit_test(stored_segments_stitch_with_compressed_ones),
        cmocka_unit_test(repetitive_text_becomes_much_smaller),
        cmocka_unit_test(compressing_survives_running_out_of_memory),
        cmocka_unit_test(the_library_is_named_with_its_version),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

#endif
