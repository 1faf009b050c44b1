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
