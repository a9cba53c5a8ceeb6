/* test_label.c - what may be the name of a class: each rule, at its edge. */
#include <check.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/core.h"
#include "tests/core/run.h"

/* Checks a copy in a block of its own length: a sanitizer sees a read behind it. */
static int check(const char *bytes, size_t n, struct err *err)
{
    char *exact = malloc(n > 0 ? n : 1);
    ck_assert_ptr_nonnull(exact);
    memcpy(exact, bytes, n);
    int result = label_check(exact, n, err);
    free(exact);
    return result;
}

static void expect_good(const char *bytes, size_t n)
{
    struct err err;
    ck_assert_msg(check(bytes, n, &err) == 0, "%s", err.text);
}

static void expect_bad(const char *bytes, size_t n, const char *part_of_text)
{
    struct err err = {.code = ERR_NONE};
    ck_assert_msg(check(bytes, n, &err) == -1, "\"%.*s\" was taken", (int)n, bytes);
    ck_assert_int_eq(err.code, ERR_LABEL_INVALID);
    ck_assert_msg(strstr(err.text, part_of_text) != NULL, "\"%s\" lacks \"%s\"", err.text, part_of_text);
}

#define GOOD(text)      expect_good(text, sizeof(text) - 1)
#define BAD(text, part) expect_bad(text, sizeof(text) - 1, part)

/* One code point as UTF-8, by the plain rule, whether it may be written or not. */
static size_t utf8(char *out, uint32_t point)
{
    if (point < 0x80) {
        out[0] = (char)point;
        return 1;
    }
    if (point < 0x800) {
        out[0] = (char)(0xc0 | point >> 6);
        out[1] = (char)(0x80 | (point & 0x3f));
        return 2;
    }
    if (point < 0x10000) {
        out[0] = (char)(0xe0 | point >> 12);
        out[1] = (char)(0x80 | (point >> 6 & 0x3f));
        out[2] = (char)(0x80 | (point & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | point >> 18);
    out[1] = (char)(0x80 | (point >> 12 & 0x3f));
    out[2] = (char)(0x80 | (point >> 6 & 0x3f));
    out[3] = (char)(0x80 | (point & 0x3f));
    return 4;
}

START_TEST(words_digits_and_other_scripts_are_labels)
{
    GOOD("7");
    GOOD("golden retriever");
    GOOD("caf\xc3\xa9");
    GOOD("\xe4\xb8\x83");      /* U+4E03 */
    GOOD("\xf0\x9f\x90\xb1");  /* U+1F431 */
    GOOD("a/b?c=d&e\"'<>\\,"); /* other layers quote what they must */
}
END_TEST

START_TEST(an_empty_label_is_refused)
{
    BAD("", "empty");
}
END_TEST

START_TEST(a_label_of_64_bytes_is_fine_and_of_65_is_not)
{
    char label[LABEL_BYTES_MAX + 1];
    memset(label, 'x', sizeof label);
    expect_good(label, 64);
    expect_bad(label, 65, "65 bytes");
}
END_TEST

START_TEST(the_limit_counts_bytes_not_characters)
{
    char label[66];
    for (size_t i = 0; i < sizeof label; i += 2)
        memcpy(label + i, "\xc3\xa9", 2);
    expect_good(label, 64);
    expect_bad(label, 66, "66 bytes");
}
END_TEST

START_TEST(a_huge_length_is_refused_without_reading)
{
    struct err err;
    ck_assert_int_eq(label_check("x", SIZE_MAX, &err), -1);
    ck_assert_int_eq(err.code, ERR_LABEL_INVALID);
}
END_TEST

/* Every code point there is, between two letters. */
static bool is_invisible(uint32_t point)
{
    static const uint32_t ranges[][2] = {
        {0xad, 0xad},     {0x34f, 0x34f},   {0x61c, 0x61c},     {0x115f, 0x1160},   {0x17b4, 0x17b5},  {0x180b, 0x180f},
        {0x200b, 0x200f}, {0x202a, 0x202e}, {0x2060, 0x206f},   {0x3164, 0x3164},   {0xfe00, 0xfe0f},  {0xfeff, 0xfeff},
        {0xffa0, 0xffa0}, {0xfff0, 0xfffb}, {0x1bca0, 0x1bca3}, {0x1d173, 0x1d17a}, {0xe0000, 0xe0fff}};
    bool is = false;
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++)
        is = is || (point >= ranges[i][0] && point <= ranges[i][1]);
    return is;
}

START_TEST(of_all_code_points_only_what_cannot_be_told_apart_by_eye_is_refused)
{
    for (uint32_t point = 0; point <= 0x10ffff; point++) {
        char label[8] = "a";
        size_t n = 1 + utf8(label + 1, point);
        label[n++] = 'z';
        bool control = point < 0x20 || (point >= 0x7f && point <= 0x9f);
        bool separator = point == 0x2028 || point == 0x2029;
        bool surrogate = point >= 0xd800 && point <= 0xdfff;
        bool blank = point == 0xa0 || point == 0x1680 || (point >= 0x2000 && point <= 0x200a) || point == 0x202f ||
                     point == 0x205f || point == 0x2800;
        struct err err;
        bool good = label_check(label, n, &err) == 0;
        if (good == (control || separator || surrogate || blank || is_invisible(point)))
            ck_abort_msg("U+%04X is %s", point, good ? "taken" : "refused");
    }
}
END_TEST

START_TEST(nothing_beyond_the_last_code_point_is_utf8)
{
    BAD("\xf4\x90\x80\x80", "UTF-8"); /* U+110000 */
    BAD("\xf5\x80\x80\x80", "UTF-8");
    BAD("\xf8\x88\x80\x80\x80", "UTF-8");
    BAD("\xff", "UTF-8");
    BAD("\xfe", "UTF-8");
    GOOD("\xf4\x8f\xbf\xbf"); /* U+10FFFF */
}
END_TEST

START_TEST(overlong_forms_are_refused)
{
    BAD("\xc0\x80", "UTF-8");         /* zero */
    BAD("\xc0\xaf", "UTF-8");         /* slash */
    BAD("\xc1\xbf", "UTF-8");         /* U+007F */
    BAD("\xe0\x80\xaf", "UTF-8");     /* slash */
    BAD("\xe0\x9f\xbf", "UTF-8");     /* U+07FF */
    BAD("\xf0\x80\x80\xaf", "UTF-8"); /* slash */
    BAD("\xf0\x8f\xbf\xbf", "UTF-8"); /* U+FFFF */
    GOOD("\xc2\xa1");
    GOOD("\xe0\xa0\x80");
    GOOD("\xf0\x90\x80\x80");
}
END_TEST

START_TEST(surrogates_are_refused)
{
    BAD("\xed\xa0\x80", "UTF-8");
    BAD("\xed\xbf\xbf", "UTF-8");
    BAD("\xed\xa0\xbd\xed\xb8\x80", "UTF-8"); /* a pair, as CESU-8 */
    GOOD("\xed\x9f\xbf");
    GOOD("\xee\x80\x80");
}
END_TEST

START_TEST(a_character_that_is_cut_short_is_refused)
{
    BAD("a\xc3", "byte 1");
    BAD("\xe4\xb8", "UTF-8");
    BAD("\xf0\x9f\x90", "UTF-8");
    BAD("\xf0\x9f", "UTF-8");
    BAD("\xf0", "UTF-8");
}
END_TEST

START_TEST(a_stray_continuation_or_a_missing_one_is_refused)
{
    BAD("\x80", "byte 0");
    BAD("ab\xbf", "byte 2");
    BAD("\xc3z", "UTF-8");
    BAD("\xe4z\x83", "UTF-8");
    BAD("\xe4\xb8z", "UTF-8");
    BAD("\xf0\x9f\x90z", "UTF-8");
}
END_TEST

START_TEST(other_encodings_are_refused)
{
    BAD("caf\xe9", "UTF-8"); /* Latin-1 */
    BAD("\xff\xfe"
        "7",
        "UTF-8"); /* UTF-16 */
}
END_TEST

START_TEST(control_characters_are_refused_and_named)
{
    BAD("a\tb", "U+0009 at byte 1");
    BAD("a\n", "U+000A");
    BAD("\r", "U+000D");
    BAD("a\0b", "U+0000 at byte 1");
    BAD("\x1b[31m", "U+001B at byte 0");
    BAD("a\x7f", "U+007F");
    BAD("a\xc2\x85z", "U+0085");
}
END_TEST

START_TEST(line_separators_are_refused)
{
    BAD("a\xe2\x80\xa8z", "U+2028");
    BAD("a\xe2\x80\xa9z", "U+2029");
}
END_TEST

START_TEST(white_space_at_either_end_is_refused_and_inside_what_looks_like_another)
{
    /* Unicode's White_Space that is neither a control character nor a line separator */
    static const uint32_t spaces[] = {0x20,   0xa0,   0x1680, 0x2000, 0x2001, 0x2002, 0x2003, 0x2004, 0x2005,
                                      0x2006, 0x2007, 0x2008, 0x2009, 0x200a, 0x202f, 0x205f, 0x3000};
    for (size_t i = 0; i < sizeof spaces / sizeof *spaces; i++) {
        char label[8] = "a";
        size_t n = utf8(label + 1, spaces[i]);
        expect_bad(label, 1 + n, "white space");
        expect_bad(label + 1, n, "white space");
        label[1 + n] = 'z';
        expect_bad(label + 1, n + 1, "white space");
        if (spaces[i] == 0x20 || spaces[i] == 0x3000)
            expect_good(label, n + 2);
        else
            expect_bad(label, n + 2, "use an ordinary space");
    }
}
END_TEST

START_TEST(what_cannot_be_seen_is_refused_by_name_and_place)
{
    BAD("\xef\xbb\xbf"
        "7",
        "U+FEFF (byte order mark) at byte 0");
    BAD("7\xe2\x80\x8b", "U+200B (zero width space) at byte 1");
    /* NOLINTNEXTLINE(misc-misleading-bidirectional): that is what is refused */
    BAD("a\xe2\x80\xae"
        "b",
        "U+202E (direction mark) at byte 1");
    BAD("co\xc2\xad"
        "op",
        "U+00AD (soft hyphen) at byte 2");
    BAD("\xf0\x9f\x8f\xb4\xf3\xa0\x81\xa7", "U+E0067");
    BAD("\xe3\x85\xa4", "U+3164 (Hangul filler)");
}
END_TEST

START_TEST(a_joiner_is_taken_where_it_changes_what_is_seen)
{
    GOOD("\xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x8c\xbe");                         /* a farmer: woman, sheaf */
    GOOD("\xd9\x85\xdb\x8c\xe2\x80\x8c\xd8\xae\xd9\x88\xd8\xa7\xd9\x87\xd9\x85"); /* Persian: I want */
    GOOD("\xe0\xa4\x95\xe0\xa5\x8d\xe2\x80\x8d\xe0\xa4\xb7");                     /* Devanagari: half ka, sha */
    BAD("cat\xe2\x80\x8d", "U+200D (zero width joiner) at byte 3");
    BAD("\xe2\x80\x8d"
        "cat",
        "U+200D (zero width joiner) at byte 0");
    BAD("c\xe2\x80\x8c"
        "at",
        "U+200C (zero width non-joiner) at byte 1");
    BAD("\xe4\xb8\x83\xe2\x80\x8d\xe4\xb8\x83", "U+200D"); /* Han */
    BAD("\xf0\x9f\x91\xa9\xe2\x80\x8d", "U+200D (zero width joiner) at byte 4");
    BAD("\xf0\x9f\x91\xa9\xe2\x80\x8d x", "U+200D (zero width joiner) at byte 4");
    BAD("\xf0\x9f\x91\xa9\xe2\x80\x8d\xe2\x80\x8d\xf0\x9f\x8c\xbe", "U+200D (zero width joiner) at byte 4");
}
END_TEST

START_TEST(a_refusal_needs_no_place_for_the_error)
{
    ck_assert_int_eq(label_check("", 0, NULL), -1);
    ck_assert_int_eq(label_check(" x", 2, NULL), -1);
    ck_assert_int_eq(label_check("x", 1, NULL), 0);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("label");
    tcase_add_test(tcase, words_digits_and_other_scripts_are_labels);
    tcase_add_test(tcase, an_empty_label_is_refused);
    tcase_add_test(tcase, a_label_of_64_bytes_is_fine_and_of_65_is_not);
    tcase_add_test(tcase, the_limit_counts_bytes_not_characters);
    tcase_add_test(tcase, a_huge_length_is_refused_without_reading);
    tcase_add_test(tcase, of_all_code_points_only_what_cannot_be_told_apart_by_eye_is_refused);
    tcase_add_test(tcase, nothing_beyond_the_last_code_point_is_utf8);
    tcase_add_test(tcase, overlong_forms_are_refused);
    tcase_add_test(tcase, surrogates_are_refused);
    tcase_add_test(tcase, a_character_that_is_cut_short_is_refused);
    tcase_add_test(tcase, a_stray_continuation_or_a_missing_one_is_refused);
    tcase_add_test(tcase, other_encodings_are_refused);
    tcase_add_test(tcase, control_characters_are_refused_and_named);
    tcase_add_test(tcase, line_separators_are_refused);
    tcase_add_test(tcase, white_space_at_either_end_is_refused_and_inside_what_looks_like_another);
    tcase_add_test(tcase, what_cannot_be_seen_is_refused_by_name_and_place);
    tcase_add_test(tcase, a_joiner_is_taken_where_it_changes_what_is_seen);
    tcase_add_test(tcase, a_refusal_needs_no_place_for_the_error);
    return run_case(tcase, "label");
}
