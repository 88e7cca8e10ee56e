#include "journal/survey.h"

#include <string.h>
#include <unistd.h>

#define LOOKS      3u
#define PAUSE_USEC 60000u /* longer than a sync takes to come */

struct survey {
        struct sg_ring_survey *s;
        struct sg_ring_reader *reader;
        unsigned n_looks; /* at a place where nothing is, though something should be */
};

static void note_bad(struct survey *v, uint64_t n_lost)
{
        uint64_t sequence, offset;

        sg_ring_reader_position(v->reader, &sequence, &offset);
        if (v->s->n_bad++ == 0) {
                v->s->bad_sequence = sequence;
                v->s->bad_offset = offset;
        }
        v->s->n_lost += n_lost;
}

/* No frame where one should be. False: that is the end. */
static bool go_on(struct survey *v, int e)
{
        uint64_t sequence, offset, written = sg_ring_reader_written(v->reader), lost = 0;
        struct sg_ring_survey before = *v->s;

        sg_ring_reader_position(v->reader, &sequence, &offset);
        if (sg_ring_reader_released(v->reader) > sequence) {
                sg_ring_reader_seek_released(v->reader); /* drained, and written over, meanwhile */
                return true;
        }
        if (e == SG_RING_E_END && written <= sequence)
                return false;
        if (v->s->info.is_owned && ++v->n_looks < LOOKS) {
                (void)usleep(PAUSE_USEC);
                return true;
        }
        v->n_looks = 0;
        note_bad(v, 0);
        if (sg_ring_reader_resync(v->reader, &lost) == 0) {
                v->s->n_lost += lost;
                return true;
        }
        /* Nothing whole behind it: the end of what reached the disk. */
        *v->s = before;
        if (!v->s->info.is_owned && written > sequence)
                v->s->n_missing = written - sequence;
        return false;
}

int sg_ring_survey(struct sg_ring_survey *ret, const char *path, const char *stage_path,
                   void (*on_record)(const struct sg_record *rec, uint64_t sequence, void *owner), void *owner)
{
        SG_AUTO(sg_ring_reader_free) struct sg_ring_reader *reader = NULL;
        struct sg_ring_survey s = {0};
        struct survey v = {.s = &s};
        struct sg_record rec;
        uint64_t sequence;
        int e = sg_ring_reader_open(&reader, path, stage_path);

        if (!e)
                e = sg_ring_reader_get_info(reader, &s.info);
        if (e)
                return e;
        v.reader = reader;
        memcpy(s.id, sg_ring_reader_id(reader), sizeof(s.id));
        s.drained = sg_ring_reader_released(reader);
        s.written = sg_ring_reader_written(reader);
        sg_ring_reader_seek_released(reader);
        /* What is appended from now on is not waited for. */
        do {
                e = sg_ring_reader_next(reader, &rec, &sequence);
                if (e < 0)
                        return e;
                if (e == SG_RING_E_BAD) {
                        note_bad(&v, 1);
                        sg_ring_reader_position(reader, &sequence, &(uint64_t){0});
                } else if (e == 0) {
                        v.n_looks = 0;
                        s.n_good++;
                        if (!s.oldest_wall_usec || rec.start_wall_usec < s.oldest_wall_usec)
                                s.oldest_wall_usec = rec.start_wall_usec;
                        if (on_record)
                                on_record(&rec, sequence, owner);
                } else if (!go_on(&v, e))
                        break;
                else
                        sg_ring_reader_position(reader, &sequence, &(uint64_t){0});
        } while (sequence < s.written || !s.info.is_owned);
        *ret = s;
        return 0;
}
