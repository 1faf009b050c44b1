/* A Cortex-M under qemu, or on a desk with a debugger: start-up, and files and text of the host
 * through semihosting (one instruction that the emulator or the debugger answers). */
#include <string.h>

#include "board.h"
#include "text.h"

enum { SYS_OPEN = 1, SYS_WRITE0 = 4, SYS_READ = 6, SYS_GET_CMDLINE = 0x15 };
enum { SYS_EXIT_EXTENDED = 0x20 };
enum { ADP_APPLICATION_EXIT = 0x20026, OPEN_RB = 1, UNUSED_STACK = 0x5a5a5a5a };

extern uint32_t link_data_load[], link_data[], link_data_end[], link_bss[], link_bss_end[];
extern uint32_t link_stack_top[], link_flash[], link_flash_end[];

int main(void);

static uint32_t ask_host(uint32_t operation, const void *arguments)
{
    register uint32_t r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = arguments;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

static void leave(uint32_t code)
{
    uint32_t arguments[] = {ADP_APPLICATION_EXIT, code};
    ask_host(SYS_EXIT_EXTENDED, arguments);
    for (;;) {
    }
}

/* The timer that every Cortex-M has counts down 24 bits. With `qemu -icount shift=0` an
 * instruction takes a nanosecond of its time. On silicon DWT->CYCCNT counts cycles instead. */
static volatile uint32_t *const systick = (volatile uint32_t *)0xe000e010;

uint32_t board_ticks(void)
{
    return 0xffffff - systick[2];
}

void reset(void);

void reset(void)
{
    for (uint32_t *from = link_data_load, *to = link_data; to < link_data_end;)
        *to++ = *from++;
    for (uint32_t *to = link_bss; to < link_bss_end;)
        *to++ = 0;
    uint32_t *here = (uint32_t *)__builtin_frame_address(0) - 32;
    for (uint32_t *at = link_bss_end; at < here;)
        *at++ = UNUSED_STACK;
    systick[1] = 0xffffff;
    systick[2] = 0;
    systick[0] = 5; /* on, the processor's clock, no interrupt */
    leave((uint32_t)main());
}

static void fault(void)
{
    board_print("{\"event\": \"error\", \"why\": \"the processor faulted\"}\n");
    leave(1);
}

/* The initial stack pointer, reset, NMI, hard fault; nothing else is ever enabled. */
__attribute__((section(".vectors"), used)) static void *const vectors[16] = {
    link_stack_top, (void *)reset, (void *)fault, (void *)fault, (void *)fault, (void *)fault,
    (void *)fault,
};

static char command[256]; /* PROGRAM RECORDING.wav [scores] */
static uint32_t audio;

static char *word(int index)
{
    char *at = command;
    while (index-- && at)
        if ((at = strchr(at, ' ')))
            at++;
    return at;
}

bool board_wants_scores(void)
{
    const char *last = word(2);
    return last && !strcmp(last, "scores");
}

bool board_open(void)
{
    uint32_t line[] = {(uint32_t)command, sizeof command};
    char path[sizeof command];
    if (ask_host(SYS_GET_CMDLINE, line) || !word(1))
        return false;
    strcpy(path, word(1));
    if (strchr(path, ' '))
        *strchr(path, ' ') = 0;
    uint32_t arguments[] = {(uint32_t)path, OPEN_RB, strlen(path)};
    audio = ask_host(SYS_OPEN, arguments);
    return audio != UINT32_MAX;
}

int board_read(void *out, int n)
{
    uint32_t arguments[] = {audio, (uint32_t)out, (uint32_t)n};
    return n - (int)ask_host(SYS_READ, arguments);
}

void board_print(const char *text)
{
    ask_host(SYS_WRITE0, text);
}

static void add(const char *name, int64_t value)
{
    text_add(", \"");
    text_add(name);
    text_add("\": ");
    text_add_number(value);
}

void board_report(uint64_t ticks, uint32_t n_frames)
{
    const uint32_t *lowest = link_bss_end;
    while (*lowest == UNUSED_STACK)
        lowest++;
    uint64_t instructions = ticks * (1000000000ull / 1000) / (TICK_HZ / 1000);
    text_add("{\"event\": \"board\", \"cpu\": \"" CPU "\"");
    add("flash_bytes", (link_flash_end - link_flash) * 4);
    add("ram_bytes", (link_bss_end - link_data) * 4);
    add("stack_bytes", (link_stack_top - lowest) * 4);
    add("instructions_per_audio_s", n_frames ? (int64_t)(instructions * 50 / n_frames) : 0);
    text_add("}");
    text_end();
}
