#include "bundle/tokens.h"

#include <string.h>

static bool read_token(ee_token *tokens, int number, const char *file, const char *line,
                       ee_error *error)
{
    const char *text = strcmp(line, "<space>") ? line : " ";
    bool is_blank = strcmp(line, "<blank>") == 0;
    if (is_blank != (number == 0) || *line == 0 || strlen(text) >= EE_TOKEN_BYTES ||
        strpbrk(line, " \t\r\v\f") != NULL)
        return ee_fail(error, EE_REFUSED,
                       "%s: line %d: found '%.20s', expected <blank> first, "
                       "then one short token without blanks a line: " EE_RENEW,
                       file, number + 1, line);
    for (int i = 0; i < number; i++)
        if (strcmp(tokens[i].text, text) == 0)
            return ee_fail(error, EE_REFUSED,
                           "%s: line %d: found '%.20s' again, expected it once: " EE_RENEW, file,
                           number + 1, line);
    strcpy(tokens[number].text, text);
    return true;
}

bool ee_tokens_read(ee_token *tokens, int n_tokens, const char *file, char *text, int64_t size,
                    ee_error *error)
{
    int found = 0;
    for (char *line = text, *end; line < text + size; line = end + 1, found++) {
        end = strchr(line, '\n') ? strchr(line, '\n') : text + size;
        *end = 0;
        if (found < n_tokens && !read_token(tokens, found, file, line, error))
            return false;
    }
    if (found != n_tokens)
        return ee_fail(error, EE_REFUSED,
                       "%s: found %d tokens, expected %d, one for each output "
                       "of the asr graph: " EE_RENEW,
                       file, found, n_tokens);
    return true;
}

static const char WORD_START[] = "\xe2\x96\x81"; /* stands for the space, as in other subwords */

/* Characters that are not printable or are blanks: controls, formats, spaces, private use. */
static const uint32_t HIDDEN[][2] = {
    {0, 0x20},        {0x7f, 0xa0},     {0xad, 0xad},          {0x600, 0x605},   {0x61c, 0x61c},
    {0x6dd, 0x6dd},   {0x70f, 0x70f},   {0x1680, 0x1680},      {0x180e, 0x180e}, {0x2000, 0x200f},
    {0x2028, 0x202f}, {0x205f, 0x206f}, {0x3000, 0x3000},      {0xd800, 0xf8ff}, {0xfeff, 0xfeff},
    {0xfff0, 0xfffb}, {0xfffe, 0xffff}, {0xe0000, UINT32_MAX},
};

/* The character of UTF-8 at `at`, and its length; 0 for bytes that are none. */
static uint32_t character_at(const char *at, int *length)
{
    static const uint32_t LOWEST[] = {0, 0, 0x80, 0x800, 0x10000};
    const unsigned char *bytes = (const unsigned char *)at;
    *length = bytes[0] < 0x80 ? 1 : bytes[0] < 0xe0 ? 2 : bytes[0] < 0xf0 ? 3 : 4;
    if (*length == 1)
        return bytes[0];
    if (bytes[0] < 0xc2 || bytes[0] > 0xf4)
        return 0;
    uint32_t found = bytes[0] & (0x7fu >> *length);
    for (int i = 1; i < *length; i++) {
        if ((bytes[i] & 0xc0) != 0x80)
            return 0;
        found = found << 6 | (bytes[i] & 0x3fu);
    }
    return found < LOWEST[*length] ? 0 : found;
}

static bool is_printable(const char *line, const char *end)
{
    for (int length; line < end; line += length) {
        uint32_t character = character_at(line, &length);
        for (size_t i = 0; i < sizeof HIDDEN / sizeof *HIDDEN; i++)
            if (character >= HIDDEN[i][0] && character <= HIDDEN[i][1])
                return false;
    }
    return true;
}

/* Puts the space in place of its sign. */
static void put_spaces(char *line)
{
    char *out = line;
    for (const char *in = line; *in;)
        if (strncmp(in, WORD_START, sizeof WORD_START - 1) == 0) {
            *out++ = ' ';
            in += sizeof WORD_START - 1;
        } else {
            *out++ = *in++;
        }
    *out = 0;
}

static bool is_output(const char *what, int token, int n_subwords, ee_error *error)
{
    if (token < n_subwords)
        return true;
    return ee_fail(error, EE_REFUSED,
                   "manifest.json: asr.second_pass.%s: found %d, expected a token, 0 to %d: "
                   "export it again",
                   what, token, n_subwords - 1);
}

bool ee_subwords_read(const char **subwords, int n_subwords, const ee_second_pass_spec *spec,
                      char *text, int64_t size, ee_error *error)
{
    int found = 0;
    for (char *line = text, *end; line < text + size; line = end + 1, found++) {
        end = memchr(line, '\n', (size_t)(text + size - line));
        end = end != NULL ? end : text + size;
        *end = 0;
        if (!is_printable(line, end))
            return ee_fail(error, EE_REFUSED,
                           "%s: line %d: found '%.20s', expected printable text in UTF-8 without "
                           "blanks: " EE_RENEW,
                           spec->subwords, found + 1, line);
        put_spaces(line);
        if (found < n_subwords)
            subwords[found] = line;
    }
    if (found != n_subwords)
        return ee_fail(error, EE_REFUSED,
                       "%s: found %d tokens, expected %d, one for each output "
                       "of the asr_decoder graph: " EE_RENEW,
                       spec->subwords, found, n_subwords);
    for (int i = 0; i < spec->n_prompt; i++)
        if (!is_output("prompt", spec->prompt[i], n_subwords, error))
            return false;
    return is_output("end", spec->end, n_subwords, error);
}
