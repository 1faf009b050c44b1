#include "session.h"

#include "engine.h"

#include <stdlib.h>

ee_session *ee_session_open(const char *bundle, const char *engine_library, int threads,
                            ee_error *error)
{
    if (error->code != EE_DONE)
        return NULL;
    if (bundle == NULL) {
        ee_fail(error, EE_USAGE, "bundle: found none, expected the path of a folder");
        return NULL;
    }
    ee_session *session = calloc(1, sizeof *session);
    if (session == NULL) {
        ee_fail(error, EE_FAILED, EE_NO_MEMORY);
        return NULL;
    }
    if (ee_bundle_open(&session->bundle, bundle, ee_engine_name, &session->memory, error) &&
        ee_engine_start(engine_library, threads, session->bundle.manifest.engine_minimum_version,
                        error))
        return session;
    ee_session_close(session);
    return NULL;
}

int ee_session_max_sources(const ee_session *session)
{
    return session->bundle.manifest.max_sources;
}

void ee_session_close(ee_session *session)
{
    if (session == NULL)
        return;
    ee_engine_stop();
    ee_memory_free(&session->memory);
    free(session);
}
