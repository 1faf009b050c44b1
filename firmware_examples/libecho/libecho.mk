# The library with one engine, as the archive $(LIBRARY): compiler, flags, libraries from Debian, rules.
# A Makefile sets ENGINE_OBJECTS, the engine's object files in $(OBJECTS), and then includes this.
#
#   make library             build it
#   make -s flags            what a compiler needs to build a program with it
#   make ARCH=arm64 ...      cross-compile (apt install gcc-aarch64-linux-gnu)
#   make MODE=asan ...       with AddressSanitizer and UndefinedBehaviorSanitizer
#   make MODE=count ...      a program that counts its allocations

LIBECHO := $(patsubst %/,%,$(dir $(lastword $(MAKEFILE_LIST))))
CHECKOUT := $(abspath $(LIBECHO)/../..)
HOST_ARCH := $(shell dpkg --print-architecture)
ARCH ?= $(HOST_ARCH)
MODE ?= release
BUILD ?= build
PYTHON ?= python3

TRIPLE_amd64 := x86_64-linux-gnu
TRIPLE_arm64 := aarch64-linux-gnu
TRIPLE := $(TRIPLE_$(ARCH))
ifneq ($(ARCH),$(HOST_ARCH))
AR := $(TRIPLE)-ar
CC := $(TRIPLE)-gcc
CXX := $(TRIPLE)-g++
ALSA := no
endif
ALSA ?= $(shell pkg-config --exists alsa 2>/dev/null && echo yes || echo no)

# Jansson (JSON) and zlib are linked statically, of Debian 12, so that the program runs on that and
# anything newer. ONNX Runtime's header is not in the Python package whose library we use; any newer
# library serves a program built with an older header. Fetched once for all examples.
DEBS := $(abspath $(LIBECHO)/build/debs-$(ARCH))
PACKAGES := libjansson-dev/bookworm zlib1g-dev/bookworm libonnxruntime-dev/trixie

VERSION := $(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' $(CHECKOUT)/echo_edge/version.py)
WARNINGS := -Wall -Wextra -Werror -Wshadow
CFLAGS_release := -O2
CFLAGS_asan := -O1 -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
CFLAGS_count := -O2
LDFLAGS_asan := -fsanitize=address,undefined
LDFLAGS_count := -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc
override CPPFLAGS += -D_GNU_SOURCE -I$(LIBECHO)/include
override CFLAGS += -std=c11 -g $(WARNINGS) $(CFLAGS_$(MODE))
override LDFLAGS += $(LDFLAGS_$(MODE))
override LDLIBS += $(DEBS)/usr/lib/$(TRIPLE)/libjansson.a $(DEBS)/usr/lib/$(TRIPLE)/libz.a -lm -ldl
# A program sees the public header; the library and its engine see all of it.
PRIVATE := -DEE_VERSION='"$(VERSION)"' -I$(LIBECHO)/src -isystem $(DEBS)/usr/include

OBJECTS := $(BUILD)/$(ARCH)-$(MODE)$(if $(filter yes,$(ALSA)),-alsa)
LIBRARY := $(OBJECTS)/libecho.a
SOURCES := $(wildcard $(LIBECHO)/src/*.c $(LIBECHO)/src/*/*.c)
HEADERS := $(wildcard *.h $(LIBECHO)/include/*.h $(LIBECHO)/src/*.h $(LIBECHO)/src/*/*.h) \
    $(LIBECHO)/libecho.mk $(DEBS)/.complete

$(DEBS)/.complete: $(LIBECHO)/tools/fetch_debs.sh
	$(LIBECHO)/tools/fetch_debs.sh $(ARCH) $(DEBS) $(PACKAGES)

$(LIBRARY): $(SOURCES:$(LIBECHO)/src/%.c=$(OBJECTS)/libecho/%.o) $(ENGINE_OBJECTS)
	rm -f $@
	$(AR) rcs $@ $^

$(OBJECTS)/libecho/%.o $(ENGINE_OBJECTS): override CPPFLAGS += $(PRIVATE)

$(OBJECTS)/libecho/%.o: $(LIBECHO)/src/%.c $(HEADERS)
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -c $< -o $@

$(OBJECTS)/%.o: %.c $(HEADERS)
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -c $< -o $@

# The files of a Python package for any processor: $(call unpack_wheel,NAME==VERSION,PLATFORMS,FOLDER).
define unpack_wheel
rm -rf $3
$(PYTHON) -m pip download -q --disable-pip-version-check --no-deps --dest $3 \
    --only-binary=:all: --python-version 3.11 --implementation cp $(2:%=--platform %) $1
$(PYTHON) -m zipfile -e $3/*.whl $3
endef

library: $(LIBRARY)

flags:
	@echo -I$(abspath $(LIBECHO)/include) $(LDFLAGS) $(abspath $(LIBRARY)) $(LDLIBS)

clean:
	rm -rf $(BUILD)

.PHONY: library flags clean
