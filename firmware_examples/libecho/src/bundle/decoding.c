#include "bundle/decoding.h"

#include <stddef.h>
#include <string.h>

typedef enum { NUMBER, INTEGER } kind;

static const struct {
    const char *name;
    size_t offset;
    kind kind;
    double lowest, highest, fallback;
} KEYS[] = {
#define ROW(key, kind, lowest, highest, default)                                                   \
    {#key, offsetof(ee_decoding, key), kind, lowest, highest, default},
    EE_DECODING_KEYS(ROW)
#undef ROW
};

enum { N_KEYS = sizeof KEYS / sizeof *KEYS };

static bool is_known(const char *name)
{
    for (int i = 0; i < N_KEYS; i++)
        if (strcmp(KEYS[i].name, name) == 0)
            return true;
    return false;
}

static bool refuse(int key, ee_error *error)
{
    char name[64], expected[64];
    snprintf(name, sizeof name, "decoding.%s", KEYS[key].name);
    snprintf(expected, sizeof expected, "%s from %g to %g",
             KEYS[key].kind == INTEGER ? "an integer" : "a number", KEYS[key].lowest,
             KEYS[key].highest);
    return ee_refuse_key(error, name, expected);
}

bool ee_decoding_read(ee_decoding *decoding, json_t *section, ee_error *error)
{
    const char *name;
    json_t *value;
    json_object_foreach(section, name, value)
    {
        if (!is_known(name))
            return ee_refuse_key(error, "decoding", "only keys that this program knows");
    }
    for (int i = 0; i < N_KEYS; i++) {
        value = json_object_get(section, KEYS[i].name);
        double number = value == NULL ? KEYS[i].fallback : json_number_value(value);
        bool is_kind = value == NULL ||
                       (KEYS[i].kind == INTEGER ? json_is_integer(value) : json_is_number(value));
        if (!is_kind || !(number >= KEYS[i].lowest && number <= KEYS[i].highest))
            return refuse(i, error);
        memcpy((char *)decoding + KEYS[i].offset, &number, sizeof number);
    }
    return true;
}
