/* The gate over a recording: a JSON line for every change, one every 10 s as a sign of life, one
 * at the end. Written for a serial port, which wake_recorder.py reads on the other side. */
#include <string.h>

#include "board.h"
#include "gate.h"
#include "text.h"

enum { HEADER_BYTES = 44, ALIVE_FRAMES = 500 };

static gate the_gate;
static int16_t pcm[GATE_HOP];

static uint32_t number(const uint8_t *at, int n_bytes)
{
    uint32_t value = 0;
    for (int i = n_bytes - 1; i >= 0; i--)
        value = value << 8 | at[i];
    return value;
}

static bool is_our_wav(const uint8_t head[HEADER_BYTES])
{
    return !memcmp(head, "RIFF", 4) && !memcmp(head + 8, "WAVEfmt ", 8) &&
           number(head + 20, 2) == 1 && number(head + 22, 2) == 1 &&
           number(head + 24, 4) == 16000 && number(head + 34, 2) == 16 &&
           !memcmp(head + 36, "data", 4);
}

static int fail(const char *why)
{
    text_add("{\"event\": \"error\", \"why\": \"");
    text_add(why);
    text_add("\"}");
    text_end();
    return 1;
}

static void say(const char *event, uint32_t n_frames)
{
    text_add("{\"event\": \"");
    text_add(event);
    text_add("\", \"time_s\": ");
    text_add_frames(n_frames);
    text_add("}");
    text_end();
}

static void say_score(gate_decision now)
{
    text_add("{\"score\": ");
    text_add_number(now.score);
    text_add(", \"speech\": ");
    text_add(now.speech ? "true" : "false");
    text_add(", \"awake\": ");
    text_add(now.awake ? "true}" : "false}");
    text_end();
}

static void say_end(uint32_t n_frames, uint32_t n_awake, uint32_t n_wakes)
{
    text_add("{\"event\": \"end\", \"time_s\": ");
    text_add_frames(n_frames);
    text_add(", \"awake_s\": ");
    text_add_frames(n_awake);
    text_add(", \"wakes\": ");
    text_add_number(n_wakes);
    text_add("}");
    text_end();
}

static bool read_frame(void)
{
    const int wanted = sizeof pcm;
    int have = 0, got = 1;
    while (have < wanted && got > 0) {
        got = board_read((uint8_t *)pcm + have, wanted - have);
        have += got;
    }
    return have == wanted;
}

int main(void)
{
    uint8_t head[HEADER_BYTES];
    if (!board_open())
        return fail("the recording: found none, expected the path of a WAV file");
    if (board_read(head, HEADER_BYTES) != HEADER_BYTES || !is_our_wav(head))
        return fail("the recording: found another file, expected a WAV of 16 kHz, mono, 16 bits");
    bool scores = board_wants_scores();
    uint32_t n_frames = 0, n_awake = 0, n_wakes = 0;
    uint64_t ticks = 0;
    gate_start(&the_gate);
    while (read_frame()) {
        uint32_t before = board_ticks();
        gate_decision now = gate_push(&the_gate, pcm);
        ticks += (board_ticks() - before) & 0xffffff;
        n_frames++;
        n_awake += now.awake;
        n_wakes += now.event == GATE_WAKE;
        if (scores)
            say_score(now);
        if (now.event != GATE_NONE)
            say(now.event == GATE_WAKE ? "wake" : "sleep", n_frames);
        else if (n_frames % ALIVE_FRAMES == 0)
            say("alive", n_frames);
    }
    say_end(n_frames, n_awake, n_wakes);
    board_report(ticks, n_frames);
    return 0;
}
