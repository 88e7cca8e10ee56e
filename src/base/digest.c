#include <endian.h>
#include <string.h>
#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

#include "base/digest.h"
#include "base/macro.h"

#define POLYNOMIAL UINT32_C(0x82f63b78) /* 0x1edc6f41, bits reversed */

/* table[k][x] is what byte x contributes with k zero bytes behind it: eight bytes are then eight independent look-ups.
 */
static uint32_t table[8][256];
static uint32_t (*crc_now)(uint32_t crc, const unsigned char *p, size_t n);

static uint32_t crc_by_table(uint32_t crc, const unsigned char *p, size_t n)
{
        for (; n >= 8; p += 8, n -= 8) {
                uint64_t w;

                memcpy(&w, p, 8);
                w = le64toh(w) ^ crc;
                crc = table[7][w & 0xff] ^ table[6][w >> 8 & 0xff] ^ table[5][w >> 16 & 0xff] ^
                      table[4][w >> 24 & 0xff] ^ table[3][w >> 32 & 0xff] ^ table[2][w >> 40 & 0xff] ^
                      table[1][w >> 48 & 0xff] ^ table[0][w >> 56];
        }
        for (; n > 0; p++, n--)
                crc = crc >> 8 ^ table[0][(crc ^ *p) & 0xff];
        return crc;
}

#if defined(__x86_64__)
__attribute__((__target__("sse4.2"))) static uint32_t crc_by_sse42(uint32_t crc, const unsigned char *p, size_t n)
{
        uint64_t wide = crc;

        for (; n >= 8; p += 8, n -= 8) {
                uint64_t w;

                memcpy(&w, p, 8);
                wide = _mm_crc32_u64(wide, w);
        }
        crc = (uint32_t)wide;
        for (; n > 0; p++, n--)
                crc = _mm_crc32_u8(crc, *p);
        return crc;
}
#endif

/* Before main() and any thread, so that reading the choice needs no lock. */
__attribute__((__constructor__)) static void choose(void)
{
        for (uint32_t x = 0; x < 256; x++) {
                uint32_t crc = x;

                for (int bit = 0; bit < 8; bit++)
                        crc = crc >> 1 ^ (crc & 1 ? POLYNOMIAL : 0);
                table[0][x] = crc;
        }
        for (uint32_t x = 0; x < 256; x++)
                for (int k = 1; k < 8; k++)
                        table[k][x] = table[k - 1][x] >> 8 ^ table[0][table[k - 1][x] & 0xff];
        crc_now = crc_by_table;
#if defined(__x86_64__)
        __builtin_cpu_init();
        if (__builtin_cpu_supports("sse4.2"))
                crc_now = crc_by_sse42;
#endif
}

uint32_t sg_crc32c(uint32_t crc, const void *data, size_t n)
{
        return ~crc_now(~crc, data, n);
}

uint32_t sg_crc32c_portable(uint32_t crc, const void *data, size_t n)
{
        return ~crc_by_table(~crc, data, n);
}

void sg_hex(char *out, const void *data, size_t n)
{
        const unsigned char *p = data;

        for (size_t i = 0; i < n; i++) {
                *out++ = "0123456789abcdef"[p[i] >> 4];
                *out++ = "0123456789abcdef"[p[i] & 15];
        }
        *out = '\0';
}

/* By table: of a digest in hex no branch could be foretold. 1 more than the value; 0: no digit. */
static const unsigned char digit_values[256] = {
        ['0'] = 1,  ['1'] = 2,  ['2'] = 3,  ['3'] = 4,  ['4'] = 5,  ['5'] = 6,  ['6'] = 7,  ['7'] = 8,
        ['8'] = 9,  ['9'] = 10, ['a'] = 11, ['b'] = 12, ['c'] = 13, ['d'] = 14, ['e'] = 15, ['f'] = 16,
        ['A'] = 11, ['B'] = 12, ['C'] = 13, ['D'] = 14, ['E'] = 15, ['F'] = 16,
};

static unsigned digit_value(char c)
{
        return digit_values[(unsigned char)c];
}

int sg_unhex(void *out, size_t n, const char *text, size_t text_n)
{
        unsigned char *at = out;

        if (n > SIZE_MAX / 2 || text_n != 2 * n)
                return 1;
        for (size_t i = 0; i < text_n; i++)
                if (!digit_value(text[i]))
                        return 1;
        for (size_t i = 0; i < n; i++)
                at[i] = (unsigned char)((digit_value(text[2 * i]) - 1) << 4 | (digit_value(text[2 * i + 1]) - 1));
        return 0;
}
