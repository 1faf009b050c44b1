/* A verified bundle and the engine that was started for it: what all streams share, unchanged. */
#ifndef EE_SESSION_H
#define EE_SESSION_H

#include "bundle/verify.h"

struct ee_session {
    ee_memory memory;
    ee_bundle bundle;
};

#endif
