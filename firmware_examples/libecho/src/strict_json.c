#include "strict_json.h"

#include <string.h>

enum { MAX_COUNT = 10000000 };

bool ee_refuse_key(ee_error *error, const char *key, const char *expected)
{
    return ee_fail(error, EE_REFUSED,
                   "manifest.json: %.100s: expected %s: the file is damaged or was changed: "
                   "copy or export the bundle again",
                   key, expected);
}

bool ee_read_text(json_t *object, const char *key, char *out, size_t size, ee_error *error)
{
    const char *text = json_string_value(json_object_get(object, key));
    if (text == NULL || strlen(text) >= size)
        return ee_refuse_key(error, key, "a short text");
    strcpy(out, text);
    return true;
}

bool ee_read_count(json_t *object, const char *key, int lowest, int *out, ee_error *error)
{
    json_t *value = json_object_get(object, key);
    json_int_t number = json_integer_value(value);
    if (!json_is_integer(value) || number < lowest || number > MAX_COUNT)
        return ee_refuse_key(error, key, "an integer in its range");
    *out = (int)number;
    return true;
}
