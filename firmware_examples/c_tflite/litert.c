#include "litert.h"

#include <dlfcn.h>
#include <link.h>
#include <string.h>

static bool find_functions(void *library, const char *name, litert_api *api, ee_error *error)
{
    const char *missing = NULL;
    void *symbol;
/* C has no cast from data to function. */
#define EE_LITERT_FIND(result, function, arguments)                                                \
    symbol = dlsym(library, "LiteRt" #function);                                                   \
    missing = symbol == NULL ? "LiteRt" #function : missing;                                       \
    memcpy(&api->function, &symbol, sizeof symbol);
    EE_LITERT_FUNCTIONS(EE_LITERT_FIND)
    if (missing != NULL)
        return ee_fail(error, EE_FAILED,
                       "engine tflite: %.200s: found another library without %s, "
                       "expected LiteRT " EE_LITERT_VERSION,
                       name, missing);
    return true;
}

/* Size of the table that tells versions apart; 0 if there is none. */
static size_t table_bytes(void *library)
{
    Dl_info info;
    void *entry = NULL, *symbol = dlsym(library, EE_LITERT_TABLE);
    if (symbol == NULL || dladdr1(symbol, &info, &entry, RTLD_DL_SYMENT) == 0 || entry == NULL)
        return 0;
    return ((const ElfW(Sym) *)entry)->st_size;
}

bool ee_litert_load(const char *file, litert_api *api, ee_error *error)
{
    const char *name = file ? file : "libLiteRt.so";
    /* Never unloaded: 2.2.0 leaves functions behind that are called at exit. */
    void *library = dlopen(name, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (library == NULL)
        return ee_fail(error, EE_FAILED,
                       "engine tflite: %.300s: name the file with "
                       "--engine-library (pip install ai-edge-litert brings it)",
                       dlerror());
    if (!find_functions(library, name, api, error))
        return false;
    size_t bytes = table_bytes(library);
    if (bytes != LITERT_TABLE_BYTES)
        return ee_fail(error, EE_FAILED,
                       "engine tflite: %.200s: found another version of LiteRT "
                       "(a table of %zu bytes), expected " EE_LITERT_VERSION
                       ": the interface changes between versions: install that",
                       name, bytes);
    return true;
}
