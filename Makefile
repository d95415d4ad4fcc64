# What README.md and CONTRIBUTING.md tell people to type. `make` alone explains.
.DEFAULT_GOAL := help
.PHONY: help run test bench simulate stalled resume-storm kill-matrix lint format sanitize tox dev test-needs clean

VENV ?= .venv
PYTHON ?=
ARGS ?=
SEEDS ?= 1000
CLIENTS ?= 1000
ENVS ?= ALL
PIP = $(VENV)/bin/python -m pip --disable-pip-version-check install --quiet --prefer-binary -c constraints.txt

# Tried in this order unless PYTHON names one; each is asked, for a name on the path may be an empty shim.
PYTHONS = $(or $(PYTHON),python3.11 python3.12 python3.13 python3)
# imd runs without what is in C.
SAY_IF_NOT_NATIVE = $(VENV)/bin/python -c 'import imd.transport._battery' 2>/dev/null || \
	echo 'Without the C extension, which wants a compiler (Debian, Ubuntu: apt install gcc python3-dev): pushes leave slower.' >&2

RECENT = import sys; sys.exit(sys.version_info < (3, 11))

# What the tests run against: a file or command, and the Debian package that brings it.
NEEDS = redis-server=redis-server java=default-jre-headless /usr/share/java/zookeeper.jar=libzookeeper-java \
	chromium=chromium systemd-analyze=systemd

help:
	@echo 'make run     start imd on this machine: everything in one process, no server to install'
	@echo '             make run ARGS="--config etc/imd.toml --set comet.tcp=127.0.0.1:4101"'
	@echo 'make test    install what the tests need and run all of them; ARGS="tests/comet -k room" for some'
	@echo 'make simulate  clusters in storms, on a fake clock: SEEDS=10000, or SEEDS=17-17 for the story of one'
	@echo 'make kill-matrix  each process killed and stopped under load; CLIENTS=100, VICTIMS="comet Redis" for less'
	@echo 'make stalled   one of CLIENTS=10000 clients does not read: the others, and memory'
	@echo 'make resume-storm  CLIENTS=10000 clients come back at once: how long it takes, and what Redis has to do'
	@echo 'make bench   what imd costs, beside a bare loop in C, in under five minutes; ARGS="--html figures.html", docs/benchmarks.md'
	@echo 'make sanitize  the tests of the C extension under gcc'"'"'s address and undefined-behaviour sanitizers'
	@echo 'make lint    ruff, mypy --strict and the rules of the house (tests/test_architecture.py)'
	@echo 'make format  let ruff put the code into shape'
	@echo 'make tox     the tests on every Python from 3.11 to 3.13 that is here; ENVS=py313 for one'
	@echo 'make clean   remove the virtual environment and everything that was built or cached'
	@echo
	@echo 'All of them use the virtual environment $(VENV) (VENV=...), made by the first of: $(PYTHONS) (PYTHON=...).'

# The install is editable, so a change of code needs no other; a change of what is required does.
run: $(VENV)/.installed
	@exec $(VENV)/bin/twistd --nodaemon --pidfile= imd $(ARGS)

# Clusters of real processes, and benchmarks, which tell whether the machine is quiet: one at a time. Servers that die and return
# are mostly waited for: two at a time. The others share the cores.
ALONE = tests/system tests/benchmarks
IN_TWOS = tests/backend

test: $(VENV)/.installed-dev test-needs
ifneq ($(ARGS),)
	$(VENV)/bin/python -m pytest $(ARGS)
else
	@status=0; set -x; \
	$(VENV)/bin/python -m pytest --numprocesses auto $(patsubst %,--ignore %,$(ALONE) $(IN_TWOS)) || status=1; \
	$(VENV)/bin/python -m pytest --numprocesses 2 $(IN_TWOS) || status=1; \
	$(VENV)/bin/python -m pytest $(ALONE) || status=1; \
	{ set +x; } 2>/dev/null; exit $$status
endif

simulate: $(VENV)/.installed-dev
	$(VENV)/bin/python -m tests.simulation $(SEEDS) $(ARGS)

kill-matrix: $(VENV)/.installed-dev test-needs
	CLIENTS=$(CLIENTS) VICTIMS="$(VICTIMS)" $(VENV)/bin/python -m pytest -s tests/system/test_kill_matrix.py $(ARGS)

stalled resume-storm: CLIENTS = 10000

stalled: $(VENV)/.installed-dev test-needs
	CLIENTS=$(CLIENTS) $(VENV)/bin/python -m pytest -s tests/system/test_stalled.py $(ARGS)

resume-storm: $(VENV)/.installed-dev test-needs
	CLIENTS=$(CLIENTS) $(VENV)/bin/python -m pytest -s tests/system/test_resume_storm.py $(ARGS)

bench: $(VENV)/.installed
	@$(VENV)/bin/python -m benchmarks $(ARGS)

lint: $(VENV)/.installed-dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/python -m pytest tests/test_architecture.py

format: $(VENV)/.installed-dev
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

tox: $(VENV)/.installed-dev test-needs
	@# tox does not find what is behind pyenv's shims
	@for each in $$(pyenv versions --bare 2>/dev/null | grep -E '^3\.1[1-3]\.[0-9]+$$'); do \
		PATH="$$(pyenv prefix $$each)/bin:$$PATH"; \
	done; \
	$(VENV)/bin/tox run -e $(ENVS) -- $(ARGS)

dev: $(VENV)/.installed-dev

$(VENV)/bin/python:
	@for each in $(PYTHONS); do \
		if "$$each" -c '$(RECENT)' 2>/dev/null; then found=$$each; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
		echo 'imd needs Python 3.11 or newer. None of these is one: $(PYTHONS).' >&2; \
		echo 'Install it (Debian, Ubuntu: apt install python3 python3-venv) or say make PYTHON=/path/to/python.' >&2; \
		exit 1; \
	fi; \
	echo "Making $(VENV) with $$($$found --version), once."; \
	if ! $$found -m venv $(VENV); then \
		rm -rf $(VENV); \
		echo "$$found cannot make a virtual environment (Debian, Ubuntu: apt install python3-venv)." >&2; \
		exit 1; \
	fi

# Editable or not, what is in C has to be built again when it changes.
BUILT_FROM = setup.cfg setup.py pyproject.toml constraints.txt $(wildcard imd/transport/*.[ch])

$(VENV)/.installed: $(BUILT_FROM) | $(VENV)/bin/python
	@echo 'Installing imd and what it needs into $(VENV), once.'
	@$(PIP) -e .
	@$(SAY_IF_NOT_NATIVE)
	@touch $@

$(VENV)/.installed-dev: $(BUILT_FROM) | $(VENV)/bin/python
	@echo 'Installing imd and what its tests need into $(VENV), once.'
	@$(PIP) -e '.[test,lint,tox]'
	@$(SAY_IF_NOT_NATIVE)
	@touch $@ $(VENV)/.installed

test-needs:
	@for need in $(NEEDS); do \
		if ! command -v "$${need%%=*}" >/dev/null && ! [ -e "$${need%%=*}" ]; then missing="$$missing $${need##*=}"; fi; \
	done; \
	[ -n "$$missing" ] || exit 0; \
	if [ "$$(id -u)" = 0 ]; then root=env; else root='sudo -n'; fi; \
	if command -v apt-get >/dev/null && $$root true 2>/dev/null; then \
		echo "Installing from Debian, for the tests:$$missing"; \
		$$root apt-get update -qq && \
		$$root env DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes --no-install-recommends $$missing; \
	else \
		echo "The tests need more than Python. Install this, then run make test again:" >&2; \
		echo "    apt-get install$$missing" >&2; \
		exit 1; \
	fi

# The C extension under gcc's sanitizers, in a copy of the tree.
sanitize: $(VENV)/.installed-dev
	rm -rf build/sanitize && mkdir -p build/sanitize
	cp -r imd tests setup.py setup.cfg pyproject.toml README.md LICENSE build/sanitize
	rm -f build/sanitize/imd/transport/*.so
	cd build/sanitize && CFLAGS='-g -O1 -fsanitize=address,undefined -fno-sanitize-recover=undefined' \
		$(abspath $(VENV))/bin/python setup.py --quiet build_ext --inplace
	cd build/sanitize && ASAN_OPTIONS=detect_leaks=0 PYTHONMALLOC=malloc \
		LD_PRELOAD="$$(gcc -print-file-name=libasan.so) $$(gcc -print-file-name=libubsan.so)" \
		$(abspath $(VENV))/bin/python -m pytest -p no:cacheprovider tests/transport/test_battery_native.py $(ARGS)

clean:
	rm -rf $(VENV) .tox build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis _trial_temp*
	find imd tests twisted -name __pycache__ -prune -exec rm -rf {} +
	rm -f twisted/plugins/dropin.cache imd/transport/*.so
