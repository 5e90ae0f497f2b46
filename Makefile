# The two set-up commands are `make demo` and `make test`; both go through `make setup`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
NPM_STAMP := contracts/node_modules/.installed

.PHONY: setup demo kafka test soak lint lock check-system clean

setup: $(STAMP) $(NPM_STAMP)

$(STAMP): requirements.lock pyproject.toml
	$(PYTHON) infra/local/prerequisites.py
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

$(NPM_STAMP): contracts/package-lock.json $(STAMP)
	$(BIN)/python contracts/install.py
	touch $@

demo: setup
	$(BIN)/winnow demo

# Apache Kafka's jars, by Maven; does nothing when they are there.
kafka: setup
	$(BIN)/python -m infra.kafka.jars

lint: setup
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Tests that count on having the machine to themselves: one after another. All others side by side, a file on one worker,
# so that what its tests share is made once. Those that start the system's processes wait half of their time, so there
# is a worker more than processors.
ALONE := tests/attacks/test_inspection.py tests/attacks/test_planted.py tests/integration/test_hang.py
WORKERS := $(shell expr $$(nproc) + 1)
test: setup
	$(PYTHON) infra/local/prerequisites.py --for-tests
	$(MAKE) kafka
	$(MAKE) lint
	$(BIN)/pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(addprefix --ignore=,$(ALONE))
	$(BIN)/pytest $(ALONE)

# The simulation under many more schedules than the tests take, other ones each time: a second or two each, on Apache
# Kafka up to a minute.
SCHEDULES := 5000
KAFKA_SCHEDULES := 200
soak: kafka
	WINNOW_SCHEDULES=$(SCHEDULES) WINNOW_KAFKA_SEEDS=$$(date +%s):$(KAFKA_SCHEDULES) \
		$(BIN)/pytest --timeout 0 tests/simulation

# Pins every version with its hashes, and no download address.
lock:
	$(BIN)/uv pip compile pyproject.toml --group dev --generate-hashes --no-emit-index-url --no-emit-find-links \
		--no-header --python-version 3.11 --quiet --output-file requirements.lock

clean:
	rm -rf $(VENV) contracts/node_modules infra/kafka/lib
