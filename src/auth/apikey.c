#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>

#include "auth/apikey.h"
#include "base/digest.h"
#include "base/random.h"
#include "base/secret.h"

#define PREFIX         "sk-"
#define PREFIX_CHARS   3
#define RANDOM_CHARS   26
#define CHECKSUM_CHARS 6

static const char alphabet[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

_Static_assert(PREFIX_CHARS + RANDOM_CHARS + CHECKSUM_CHARS == SG_APIKEY_CHARS, "the parts make the whole");

/* Of prefix and random part; 62^6 exceeds 2^32, so every checksum fits. */
static void checksum(char out[CHECKSUM_CHARS], const char *key)
{
        uint32_t crc = sg_crc32c(0, key, PREFIX_CHARS + RANDOM_CHARS);

        for (int i = CHECKSUM_CHARS - 1; i >= 0; i--) {
                out[i] = alphabet[crc % 62];
                crc /= 62;
        }
}

void sg_apikey_generate(char out[SG_APIKEY_CHARS + 1])
{
        uint8_t bytes[64];
        size_t n = 0;

        memcpy(out, PREFIX, PREFIX_CHARS);
        while (n < RANDOM_CHARS) {
                sg_random_bytes(bytes, sizeof(bytes));
                for (size_t i = 0; i < sizeof(bytes) && n < RANDOM_CHARS; i++) {
                        /* 248 is four times 62: what is above would favour the first letters. */
                        if (bytes[i] < 248)
                                out[PREFIX_CHARS + n++] = alphabet[bytes[i] % 62];
                }
        }
        sg_wipe(bytes, sizeof(bytes));
        checksum(out + PREFIX_CHARS + RANDOM_CHARS, out);
        out[SG_APIKEY_CHARS] = '\0';
}

static bool is_letter_or_digit(char c)
{
        return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

bool sg_apikey_is_well_formed(struct sg_str key)
{
        char sum[CHECKSUM_CHARS];

        if (key.n != SG_APIKEY_CHARS || memcmp(key.p, PREFIX, PREFIX_CHARS) != 0)
                return false;
        for (size_t i = PREFIX_CHARS; i < key.n; i++)
                if (!is_letter_or_digit(key.p[i]))
                        return false;
        checksum(sum, key.p);
        return memcmp(sum, key.p + PREFIX_CHARS + RANDOM_CHARS, CHECKSUM_CHARS) == 0;
}

void sg_apikey_digest(uint8_t out[SG_APIKEY_DIGEST_BYTES], struct sg_str key)
{
        /* Fails only if the library has no SHA-256. */
        SG_ASSERT(gnutls_hash_fast(GNUTLS_DIG_SHA256, key.n ? key.p : "", key.n, out) == 0);
}
