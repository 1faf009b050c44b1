#include "text.h"

#include "board.h"

static char line[256];
static unsigned n_used;

static void add(char c)
{
    if (n_used < sizeof line - 2)
        line[n_used++] = c;
}

void text_add(const char *part)
{
    while (*part)
        add(*part++);
}

void text_add_number(int64_t number)
{
    char digits[20];
    int n = 0;
    uint64_t rest = number < 0 ? -(uint64_t)number : (uint64_t)number;
    if (number < 0)
        add('-');
    do
        digits[n++] = (char)('0' + rest % 10);
    while (rest /= 10);
    while (n)
        add(digits[--n]);
}

void text_add_frames(uint32_t n_frames)
{
    uint32_t hundredths = 2 * n_frames;
    text_add_number(hundredths / 100);
    add('.');
    add((char)('0' + hundredths / 10 % 10));
    add((char)('0' + hundredths % 10));
}

void text_end(void)
{
    line[n_used++] = '\n';
    line[n_used] = 0;
    n_used = 0;
    board_print(line);
}
