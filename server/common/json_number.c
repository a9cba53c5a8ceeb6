/* json_number.c - a number as text: see json_number_print() in common/json.h.
 *
 * printf with %g would do, but not when a response has ten probabilities and a prediction takes 13 us: the shortest of
 * 6 to 9 digits costs four rounds of printf and strtof, ten times as much. In the range that matters the digits come
 * from one product of doubles by an exact power of ten instead.
 */
#include "server/common/json.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define DIGITS 9 /* what a float32 needs */

/* Exact as doubles: 5^22 < 2^53. */
static const double powers[23] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                  1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

/* Writes `digits` * 10^-point: "0.05", "12.5", "1.5e-7". digits > 0. */
static size_t put_decimal(char *text, bool negative, uint64_t digits, int point)
{
    while (digits % 10 == 0) {
        digits /= 10;
        point--;
    }
    char d[24];
    int n = snprintf(d, sizeof d, "%llu", (unsigned long long)digits);
    int exponent = n - 1 - point; /* of the first digit */
    size_t at = 0;
    if (negative)
        text[at++] = '-';
    bool plain = exponent >= -5 && exponent < 15;
    int shift = plain ? 0 : exponent; /* what the printed exponent takes on itself */
    int before = exponent - shift + 1;
    if (before <= 0) {
        text[at++] = '0';
        text[at++] = '.';
        for (int i = before; i < 0; i++)
            text[at++] = '0';
    }
    for (int i = 0; i < n; i++) {
        if (i == before && i > 0)
            text[at++] = '.';
        text[at++] = d[i];
    }
    for (int i = n; i < before; i++)
        text[at++] = '0';
    text[at] = '\0';
    if (shift != 0)
        at += (size_t)snprintf(text + at, JSON_NUMBER_BYTES - at, "e%d", shift);
    return at;
}

/* Any positive finite number, slowly: nine digits by printf, taken out of its text: no locale's point matters. */
static size_t put_slow(char *text, bool negative, double a)
{
    char e[64];
    (void)snprintf(e, sizeof e, "%.8e", a);
    const char *mark = strchr(e, 'e');
    uint64_t digits = (uint64_t)(e[0] - '0');
    for (const char *p = mark - (DIGITS - 1); p < mark; p++)
        digits = digits * 10 + (uint64_t)(*p - '0');
    int exponent = 0;
    for (const char *p = mark + 2; *p != '\0'; p++)
        exponent = exponent * 10 + (*p - '0');
    return put_decimal(text, negative, digits, DIGITS - 1 - (mark[1] == '-' ? -exponent : exponent));
}

size_t json_number_print(char text[JSON_NUMBER_BYTES], double number)
{
    if (!isfinite(number)) {
        memcpy(text, "null", 5);
        return 4;
    }
    double a = fabs(number);
    bool negative = number < 0;
    if (a <= (double)JSON_WHOLE_MAX && a == (double)(uint64_t)a)
        return (size_t)snprintf(text, JSON_NUMBER_BYTES, "%s%llu", negative ? "-" : "", (unsigned long long)a);
    if (a < 1e-13 || a >= 1e9)
        return put_slow(text, negative, a);

    /* a in [10^first, 10^(first + 1)), so that a * 10^point has nine digits before its point */
    int first = 8;
    if (a >= 1)
        while (a < powers[first])
            first--;
    else
        for (first = -1; a * powers[-first] < 1; first--)
            ;
    int point = DIGITS - 1 - first;
    uint64_t digits = (uint64_t)(a * powers[point] + 0.5);
    if ((double)(float)a == a) {
        /* A quotient of two exact doubles is what a reader's strtod gives for that text. */
        uint64_t unit = 1000; /* 6 digits, 7, 8; nine always do */
        for (int dropped = 3; dropped > 0; dropped--, unit /= 10) {
            uint64_t fewer = (digits + unit / 2) / unit;
            double back =
                point >= dropped ? (double)fewer / powers[point - dropped] : (double)fewer * powers[dropped - point];
            if ((double)(float)back == a)
                return put_decimal(text, negative, fewer, point - dropped);
        }
    }
    return put_decimal(text, negative, digits, point);
}
