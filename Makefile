# bootshim: `make help` is the manual. Every target does its own set-up and says what it does.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON  ?= python3
VENV    := .venv
BIN     := $(VENV)/bin
ENGINE  ?= auto
ENTRY   ?= bls
BOARD   ?= ovmf-q35
KERNEL  ?= build/bzImage
INITRAMFS ?=
K       ?=
MORE    ?=
TARGET  ?=
CONFIG  ?= mkosi.images/bootshim/config.toml
JOBS    ?= 2

.PHONY: help apt venv demo test unit vm check bench initramfs kernel kernel-check rom rom-demo
.PHONY: mkosi-tool image image-inputs clean

help: ## this text
	@echo "bootshim: a boot shim for LinuxBoot. Targets:"
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | column -t -s '|'
	@echo "Variables: ENGINE=auto|load|file, ENTRY=bls|uki|vmlinux (demo); K=EXPR (vm); JOBS=N (test, vm);"
	@echo "  MORE=FRAGMENT (kernel, kernel-check); TARGET='NAME…', CONFIG=FILE (image);"
	@echo "  BOARD=ovmf-q35|coreboot-q35, KERNEL=build/bzImage (rom, rom-demo), INITRAMFS=FILE (rom; else the demo's)"
	@echo "Slow builds are kept in BOOTSHIM_CACHE (now: $${BOOTSHIM_CACHE:-$$HOME/.cache/bootshim})."

apt: $(VENV)/.apt-done ## install the Debian packages of initramfs/packages.list that are missing

venv: $(VENV)/.native-done ## make .venv with everything for development (.venv/bin/bootshim, .venv/bin/pytest)

$(VENV)/.apt-done: initramfs/packages.list initramfs/install-packages
	@initramfs/install-packages initramfs/packages.list
	@mkdir -p $(VENV) && touch $@

$(VENV)/.done: pyproject.toml $(VENV)/.apt-done
	@echo "venv: $(VENV), from pyproject.toml"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

NATIVE_SOURCES := $(wildcard shim/purgatory/*.[chS] shim/purgatory/*.lds shim/purgatory/build.py) \
                  shim/system/edge.c shim/system/edge.h shim/system/edge_build.py

$(VENV)/.native-done: $(VENV)/.done $(NATIVE_SOURCES)
	@echo "native parts: the purgatory and the edge module, for the host"
	@$(BIN)/python -m shim.purgatory.build
	@$(BIN)/python -m shim.system.edge_build "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("platlib"))')"
	@touch $@

initramfs: $(VENV)/.native-done ## build the frozen runtime (build/init, one static ELF)
	@$(BIN)/python -m initramfs.runtime

kernel: $(VENV)/.native-done ## build the flash kernel (build/bzImage) from Debian's source package
	@$(BIN)/python -m initramfs.kernel $(if $(MORE),--more '$(MORE)')

kernel-check: kernel ## hold the configuration it was built with against what each feature needs
	@$(BIN)/python -m initramfs.kconfig build/bzImage.config $(if $(MORE),--more '$(MORE)')

mkosi-tool: $(VENV)/.native-done ## unpack the pinned mkosi into the cache, say where it is (nothing is installed)
	@$(BIN)/python -m tests.builders.mkosi

image: $(VENV)/.native-done ## build mkosi images (TARGET='bootshim-esp uki'; without it all), say where they are
	@$(BIN)/python -m tests.builders.images --config $(CONFIG) $(TARGET)

image-inputs: $(VENV)/.native-done ## make what mkosi.conf reads from build/, for a mkosi of your own
	@$(BIN)/python -m tests.builders.images --config $(CONFIG) --inputs

demo: $(VENV)/.native-done ## boot a disk in QEMU through the shim to a second, verified Debian kernel
	@$(BIN)/python -m tests.vm.demo ENGINE=$(ENGINE) ENTRY=$(ENTRY)

rom: $(VENV)/.native-done $(if $(filter build/bzImage,$(KERNEL)),kernel) ## build a ROM (build/rom/BOARD.rom) with a flash kernel and an initramfs in it
	@$(if $(INITRAMFS),$(BIN)/python -m initramfs.rom $(BOARD) --kernel '$(KERNEL)' --initramfs '$(INITRAMFS)',\
	$(BIN)/python -m tests.vm.rom BOARD=$(BOARD) KERNEL='$(KERNEL)' BUILD=only)

rom-demo: $(VENV)/.native-done $(if $(filter build/bzImage,$(KERNEL)),kernel) ## start a machine that has this ROM and a disk, and nothing else
	@$(BIN)/python -m tests.vm.rom BOARD=$(BOARD) KERNEL='$(KERNEL)'

test: unit vm ## everything that CI runs: static checks, unit tests, VM tests

unit: check ## the tests that need no machine: no root, no network, no QEMU
	@$(BIN)/pytest -q -n $(JOBS) tests/unit

vm: $(VENV)/.native-done $(if $(K),,kernel-check) ## the tests that boot machines in QEMU (K=EXPR: only those that match)
	@$(BIN)/pytest -q -n $(JOBS) --dist loadgroup --durations 12 $(if $(K),-k '$(K)') tests/vm

check: $(VENV)/.native-done ## ruff and mypy --strict
	@$(BIN)/ruff check --quiet shim initramfs tests
	@$(BIN)/mypy --no-error-summary

bench: $(VENV)/.native-done ## sizes and times beside kexec-tools, in one run
	@$(BIN)/python -m tests.bench

clean: ## remove what was built in this checkout (not the cache)
	rm -rf build .mypy_cache .ruff_cache .pytest_cache shim/purgatory/_blob.py
