# What every example can do, whatever its engine. Included at the end of a Makefile that has set
# ENGINE_NAME, BUNDLE, PROGRAM and RUN, and in ENGINE_LIBRARY what has to be there before it runs.
#
# Without BUNDLE=DIR, an engine without a bundle in the repository gets one exported, which takes
# some minutes and a PYTHON with echo-edge[export] installed.

# How the program is run; demo, emulated, expect and valgrind add to it.
READY := $(PROGRAM) $(ENGINE_LIBRARY) $(BUNDLE)/manifest.json

program: $(PROGRAM)

$(BUILD)/bundle/manifest.json:
	PYTHONPATH=$(CHECKOUT):$(CHECKOUT)/export $(PYTHON) -c \
	    'import sys; from echo_edge.cli import main; sys.exit(main())' \
	    export $(CHECKOUT)/models/echo-25m.safetensors --engine $(ENGINE_NAME) \
	    --language-model $(CHECKOUT)/models/english.npz --out $(BUILD)/bundle

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
	    --suppressions=$(COMMON)/valgrind.supp --error-exitcode=9 \
	    $(RUN) --separate $(BUILD)/voices $(BUILD)/clip.wav

.PHONY: all program demo emulated run_emulated expect valgrind
