# The program cli/ with an engine, and what can be done with it. Included at the end of a Makefile that
# has included libecho.mk and set ENGINE_NAME, BUNDLE, PROGRAM and RUN, and in ENGINE_LIBRARY what has
# to be there before it runs.
#
#   make demo                run it on the recording in demo/
#   make emulated            and on an emulated processor, CPU=cortex-a72 or another
#   make expect              write expect.txt anew
#   make valgrind            look for leaks and wrong memory accesses
#   make ALSA=yes|no ...     a microphone (apt install libasound2-dev); default: if it is there
#
# Without BUNDLE=DIR, an engine without a bundle in the repository gets one exported, which takes
# some minutes and a PYTHON with echo-edge[export] installed.

CLI := $(patsubst %/,%,$(dir $(lastword $(MAKEFILE_LIST))))
CLI_OBJECTS := $(patsubst $(CLI)/%.c,$(OBJECTS)/cli/%.o,$(wildcard $(CLI)/*.c))
COUNTER := $(if $(filter count,$(MODE)),$(OBJECTS)/count_allocations.o)
ifeq ($(ALSA),yes)
override LDLIBS += -lasound
$(OBJECTS)/cli/microphone.o: override CPPFLAGS += -DEE_ALSA
endif

# C++ links the program of an engine that is in C++.
LINK ?= $(CC)

$(PROGRAM): $(CLI_OBJECTS) $(COUNTER) $(LIBRARY)
	$(LINK) $(LDFLAGS) $^ $(LDLIBS) -o $@

$(OBJECTS)/cli/%.o: $(CLI)/%.c $(wildcard $(CLI)/*.h) $(HEADERS)
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -c $< -o $@

$(OBJECTS)/count_allocations.o: $(LIBECHO)/test/count_allocations.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -c $< -o $@

READY := $(PROGRAM) $(ENGINE_LIBRARY) $(BUNDLE)/manifest.json

program: $(PROGRAM)

$(BUILD)/bundle/manifest.json:
	PYTHONPATH=$(CHECKOUT):$(CHECKOUT)/export $(PYTHON) -c \
	    'import sys; from echo_edge.cli import main; sys.exit(main())' \
	    export $(CHECKOUT)/models/echo-25m.safetensors --engine $(ENGINE_NAME) \
	    --language-model $(CHECKOUT)/models/english.npz --out $(BUILD)/bundle

# Audio for the demonstration: 16 kHz, mono, 16 bits; the clip is its first 12 s, for emulation.
TO_WAV := $(LIBECHO)/tools/to_wav.py
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

# Libraries of emulated programs, and the /proc/cpuinfo of their processor: engines choose their
# instructions by it (qemu looks for files below its root first).
CPU ?= cortex-a72
ARM_ROOT = $(BUILD)/root-$(CPU)
EMULATE = qemu-aarch64-static -cpu $(CPU) -L $(ARM_ROOT)

$(BUILD)/root-%/proc/cpuinfo: $(LIBECHO)/tools/cpuinfo.sh
	@mkdir -p $(@D)
	ln -sfn /usr/aarch64-linux-gnu/lib $(BUILD)/root-$*/lib
	$(LIBECHO)/tools/cpuinfo.sh $* >$@

demo: $(READY) $(BUILD)/conversation.wav
	@$(RUN) --stats $(BUILD)/conversation.wav

emulated:
	@$(MAKE) --no-print-directory ARCH=arm64 run_emulated

run_emulated: $(READY) $(BUILD)/clip.wav $(ARM_ROOT)/proc/cpuinfo
	@$(EMULATE) $(RUN) $(BUILD)/clip.wav

expect: $(READY) $(BUILD)/conversation.wav
	$(RUN) $(BUILD)/conversation.wav >expect.txt

# Engines and the loader keep some memory reachable to the end; what nobody can reach is lost.
LEAKS := definite,indirect,possible

valgrind: $(READY) $(BUILD)/clip.wav
	valgrind --leak-check=full --show-leak-kinds=$(LEAKS) --errors-for-leak-kinds=$(LEAKS) \
	    --suppressions=$(LIBECHO)/test/valgrind.supp --error-exitcode=9 \
	    $(RUN) --separate $(BUILD)/voices $(BUILD)/clip.wav

where: # the program is
	@echo $(abspath $(PROGRAM))

.PHONY: all program demo emulated run_emulated expect valgrind where
