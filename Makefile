# Two commands do everything (make install does the first step of both):
#   make report    install, execute the notebooks, which draw all figures and tables, write and typeset the report
#   make test      install, unit tests, then the notebooks again at smoke size
# make soak         kill commands at random moments, and compare what they leave after a restart: docs/soak.md (minutes)
# make test-full    a tiny stand-in for the full size, from training to the report (half an hour)
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
# one for each version of Python: another one rebuilds the environment
STAMP := .venv/installed-$(shell $(PYTHON) -c "import sys; print('%d.%d' % sys.version_info[:2])")
export TOKENIZERS_PARALLELISM := false

.PHONY: install report test test-full soak figures clean

install: $(STAMP)

report: figures
	$(BIN)/t2i report --pdf

test: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadfile tests
	OMP_NUM_THREADS=1 T2I_SIZE=smoke $(BIN)/pytest -n 2 --dist loadfile --nbval-lax notebooks

test-full: $(STAMP)
	T2I_TEST_FULL=1 $(BIN)/pytest tests/test_full.py

soak: $(STAMP)
	$(BIN)/python tests/soak.py

figures: $(STAMP)
	$(BIN)/t2i figures

$(STAMP): pyproject.toml
	test -f $@ || rm -rf .venv
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --editable ".[dev]"
	touch $@

clean:
	rm -rf .venv build
