#include <inttypes.h>
#include <time.h>

#include "base/clock.h"
#include "ctl/ctl.h"

#define YEAR_MAX 9999

/* ---- reading */

static bool take_digits(struct sg_str *s, size_t n, int *ret)
{
        uint64_t v;

        if (s->n < n || sg_str_to_u64(sg_str_head(*s, n), &v))
                return false;
        *ret = (int)v;
        *s = sg_str_skip(*s, n);
        return true;
}

static bool take_byte(struct sg_str *s, char c)
{
        if (s->n == 0 || s->p[0] != c)
                return false;
        *s = sg_str_skip(*s, 1);
        return true;
}

static bool parse_duration(struct sg_str s, uint64_t *ret_usec)
{
        static const struct {
                char unit;
                uint64_t sec;
        } units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}, {'w', 7 * 86400}};
        uint64_t n;

        if (s.n < 2 || sg_str_to_u64(sg_str_head(s, s.n - 1), &n))
                return false;
        for (size_t i = 0; i < SG_N_ELEMENTS(units); i++) {
                if (s.p[s.n - 1] != units[i].unit)
                        continue;
                /* A thousand years is more than anybody means. */
                if (n > UINT64_C(1000) * 366 * 86400 / units[i].sec)
                        return false;
                *ret_usec = n * units[i].sec * SG_USEC_PER_SEC;
                return true;
        }
        return false;
}

/* ":MM" and perhaps ":SS" after the hours. */
static bool take_time(struct sg_str *s, struct tm *t)
{
        if (!take_digits(s, 2, &t->tm_hour) || !take_byte(s, ':') || !take_digits(s, 2, &t->tm_min))
                return false;
        if (take_byte(s, ':') && !take_digits(s, 2, &t->tm_sec))
                return false;
        return t->tm_hour < 24 && t->tm_min < 60 && t->tm_sec < 60;
}

/* "Z", "+02:00" or nothing (local); the whole of s. */
static bool take_zone(struct sg_str s, bool *ret_is_local, int *ret_offset_sec)
{
        bool is_west = s.n && s.p[0] == '-';
        int hours, minutes;

        *ret_offset_sec = 0;
        *ret_is_local = s.n == 0;
        if (s.n == 0 || sg_str_eq(s, SG_STR("Z")) || sg_str_eq(s, SG_STR("z")))
                return true;
        if (!take_byte(&s, '+') && !take_byte(&s, '-'))
                return false;
        if (!take_digits(&s, 2, &hours) || !take_byte(&s, ':') || !take_digits(&s, 2, &minutes) || s.n || hours > 14 ||
            minutes > 59)
                return false;
        *ret_offset_sec = (hours * 60 + minutes) * 60 * (is_west ? -1 : 1);
        return true;
}

static bool parse_date(struct sg_str s, uint64_t *ret)
{
        struct tm t = {.tm_isdst = -1}, back;
        int year, month, offset = 0;
        bool is_local = true;
        time_t at;

        if (!take_digits(&s, 4, &year) || !take_byte(&s, '-') || !take_digits(&s, 2, &month) || !take_byte(&s, '-') ||
            !take_digits(&s, 2, &t.tm_mday) || month < 1 || month > 12 || t.tm_mday < 1)
                return false;
        t.tm_year = year - 1900;
        t.tm_mon = month - 1;
        if (s.n) {
                if (!take_byte(&s, 'T') && !take_byte(&s, ' '))
                        return false;
                if (!take_time(&s, &t) || !take_zone(s, &is_local, &offset))
                        return false;
        }
        back = t;
        at = is_local ? mktime(&back) : timegm(&back);
        /* The 31st of June would become the 1st of July. */
        if (at == (time_t)-1 || back.tm_mday != t.tm_mday || back.tm_mon != t.tm_mon || at - offset < 0)
                return false;
        *ret = (uint64_t)(at - offset) * SG_USEC_PER_SEC;
        return true;
}

bool sg_ctl_parse_day(struct sg_str s, uint64_t *ret_day)
{
        struct tm t = {.tm_isdst = 0}, back;
        int year, month;
        time_t at;

        if (!take_digits(&s, 4, &year) || !take_byte(&s, '-') || !take_digits(&s, 2, &month) || !take_byte(&s, '-') ||
            !take_digits(&s, 2, &t.tm_mday) || s.n || year < 1970 || month < 1 || month > 12 || t.tm_mday < 1)
                return false;
        t.tm_year = year - 1900;
        t.tm_mon = month - 1;
        back = t;
        at = timegm(&back);
        if (back.tm_mday != t.tm_mday || back.tm_mon != t.tm_mon)
                return false;
        *ret_day = (uint64_t)at / 86400;
        return true;
}

static uint64_t midnight(uint64_t now_wall_usec)
{
        time_t now = (time_t)(now_wall_usec / SG_USEC_PER_SEC);
        struct tm t;

        localtime_r(&now, &t);
        t.tm_hour = t.tm_min = t.tm_sec = 0;
        t.tm_isdst = -1;
        return (uint64_t)mktime(&t) * SG_USEC_PER_SEC;
}

bool sg_ctl_parse_when(struct sg_str text, uint64_t now_wall_usec, enum sg_ctl_direction direction, uint64_t *ret)
{
        uint64_t duration;

        if (sg_str_eq(text, SG_STR("now"))) {
                *ret = now_wall_usec;
                return true;
        }
        if (sg_str_eq(text, SG_STR("today"))) {
                *ret = midnight(now_wall_usec);
                return true;
        }
        if (!parse_duration(text, &duration))
                return parse_date(text, ret);
        if (direction == SG_CTL_AHEAD)
                *ret = now_wall_usec + duration;
        else
                *ret = duration < now_wall_usec ? now_wall_usec - duration : 0;
        return true;
}

/* ---- writing */

const char *sg_ctl_format_when(uint64_t wall_usec, char out[SG_CTL_WHEN_BYTES])
{
        time_t at = (time_t)(wall_usec / SG_USEC_PER_SEC);
        struct tm t;

        if (wall_usec == 0 || !localtime_r(&at, &t) || t.tm_year + 1900 > YEAR_MAX ||
            strftime(out, SG_CTL_WHEN_BYTES, "%Y-%m-%d %H:%M:%S", &t) == 0)
                (void)snprintf(out, SG_CTL_WHEN_BYTES, "-");
        return out;
}

const char *sg_ctl_format_day(uint64_t day, char out[SG_CTL_WHEN_BYTES])
{
        time_t at = (time_t)day * 86400;
        struct tm t;

        if (!gmtime_r(&at, &t) || t.tm_year + 1900 > YEAR_MAX || strftime(out, SG_CTL_WHEN_BYTES, "%Y-%m-%d", &t) == 0)
                (void)snprintf(out, SG_CTL_WHEN_BYTES, "-");
        return out;
}

const char *sg_ctl_format_duration(uint64_t usec, char out[SG_CTL_WHEN_BYTES])
{
        uint64_t sec = usec / SG_USEC_PER_SEC;

        if (usec > 0 && usec < SG_USEC_PER_MSEC)
                (void)snprintf(out, SG_CTL_WHEN_BYTES, "<1 ms");
        else if (usec < SG_USEC_PER_SEC)
                (void)snprintf(out, SG_CTL_WHEN_BYTES, "%" PRIu64 " ms", usec / SG_USEC_PER_MSEC);
        else if (sec < 60)
                (void)snprintf(out, SG_CTL_WHEN_BYTES, "%" PRIu64 ".%" PRIu64 " s", sec,
                               usec % SG_USEC_PER_SEC / 100000);
        else if (sec < 3600)
                (void)snprintf(out, SG_CTL_WHEN_BYTES, "%" PRIu64 " min %" PRIu64 " s", sec / 60, sec % 60);
        else if (sec < 86400)
                (void)snprintf(out, SG_CTL_WHEN_BYTES, "%" PRIu64 " h %" PRIu64 " min", sec / 3600, sec / 60 % 60);
        else
                (void)snprintf(out, SG_CTL_WHEN_BYTES, "%" PRIu64 " d %" PRIu64 " h", sec / 86400, sec / 3600 % 24);
        return out;
}

const char *sg_ctl_format_bytes(uint64_t bytes, char out[SG_CTL_WHEN_BYTES])
{
        static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
        uint64_t whole = bytes, rest = 0;
        size_t unit = 0;

        while (whole >= 1024) {
                rest = whole % 1024;
                whole /= 1024;
                unit++;
        }
        if (unit == 0 || whole >= 100 || rest * 10 / 1024 == 0)
                (void)snprintf(out, SG_CTL_WHEN_BYTES, "%" PRIu64 " %s", whole, units[unit]);
        else
                (void)snprintf(out, SG_CTL_WHEN_BYTES, "%" PRIu64 ".%" PRIu64 " %s", whole, rest * 10 / 1024,
                               units[unit]);
        return out;
}
