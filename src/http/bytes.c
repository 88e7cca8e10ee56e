#include "http/bytes.h"

#define BETWEEN(c, from, to) ((c) >= (from) && (c) <= (to))
#define IS_DIGIT(c)          BETWEEN(c, '0', '9')
#define IS_HEX(c)            (IS_DIGIT(c) || BETWEEN(c, 'a', 'f') || BETWEEN(c, 'A', 'F'))
#define IS_ALNUM(c)          (IS_DIGIT(c) || BETWEEN(c, 'a', 'z') || BETWEEN(c, 'A', 'Z'))
#define IS_TOKEN(c)                                                                                                    \
        (IS_ALNUM(c) || (c) == '!' || BETWEEN(c, '#', '\'') || (c) == '*' || (c) == '+' || (c) == '-' || (c) == '.' || \
         BETWEEN(c, '^', '`') || (c) == '|' || (c) == '~')
#define IS_VALUE(c)  ((c) == '\t' || ((c) >= ' ' && (c) != 0x7f))
#define IS_TARGET(c) (BETWEEN(c, '!', '~') && (c) != '#' && (c) != '\\')
/* Without the comma, which RFC 3986 allows: two Host fields joined into one value would look like that. */
#define IS_HOST(c)                                                                                                     \
        (IS_ALNUM(c) || (c) == '-' || (c) == '.' || (c) == '_' || (c) == '~' || (c) == '!' || (c) == '$' ||            \
         BETWEEN(c, '&', '+') || (c) == ';' || (c) == '=')
#define IS_QUOTED(c) (IS_VALUE(c) && (c) != '"' && (c) != '\\')

#define CLASS(c)                                                                                                       \
        ((IS_TOKEN(c) ? HTTP_TOKEN : 0) | (IS_VALUE(c) ? HTTP_VALUE : 0) | (IS_TARGET(c) ? HTTP_TARGET : 0) |          \
         (IS_HOST(c) ? HTTP_HOST : 0) | (IS_QUOTED(c) ? HTTP_QUOTED : 0) | (IS_DIGIT(c) ? HTTP_DIGIT : 0) |            \
         (IS_HEX(c) ? HTTP_HEX : 0))
#define FOUR(c)    CLASS(c), CLASS((c) + 1), CLASS((c) + 2), CLASS((c) + 3)
#define SIXTEEN(c) FOUR(c), FOUR((c) + 4), FOUR((c) + 8), FOUR((c) + 12)
#define SIXTY(c)   SIXTEEN(c), SIXTEEN((c) + 16), SIXTEEN((c) + 32), SIXTEEN((c) + 48)

const uint8_t http_classes[256] = {SIXTY(0), SIXTY(64), SIXTY(128), SIXTY(192)};
