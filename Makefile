# make demo: train on the embedded portraits and print the path of the picture.
# make check: lint, types and the fast tests, about 2 minutes on 2 cores.
# make test: lint, types and all tests. These three create .venv first.
# make test-serving: test the REST and gRPC servers, after installing their packages.
# make test-portable: test without modules that Windows lacks, and with unusual paths.
# make test-backends: test the layers and networks on PyTorch. make test does it on JAX.
# make test-loggers: test train --logger with W&B and MLflow, without a network.
# make test-browser: test the demo page in Chromium, which must be installed.
# make test-notebooks: run the notebooks from top to bottom, minutes on 2 cores.
# make docs: build the documentation as site/index.html; warnings are errors.

PYTHON ?= python3
VENV := .venv
INSTALL := $(VENV)/bin/pip install --quiet --disable-pip-version-check -e
RUN := runs/portraits
PORTABLE := tests/test_io.py tests/test_app.py tests/data tests/layers/test_lada_attention.py \
	tests/training/test_run_directory.py tests/training/test_checkpoints.py
BACKENDS := tests/models/test_other_backends.py tests/serving/test_export.py

.PHONY: demo check test test-portable test-backends test-loggers test-serving test-browser test-notebooks docs lint clean

demo: $(VENV)/demo
	$(VENV)/bin/python -m lada_tf.train --flagfile=experiments/portraits.cfg \
		--total_images=32000 --eval_images=0 --run_dir=$(RUN)
	$(VENV)/bin/python -m lada_tf.sample --run_dir=$(RUN) --output=$(RUN)/grid.png --overwrite
	$(VENV)/bin/python -m lada_tf.sample --run_dir=$(RUN) --num_images=8 \
		--attention_maps --output=$(RUN)/attention.png --overwrite
	@echo "Portraits: $(RUN)/grid.png    Attention maps: $(RUN)/attention.png"

check: lint
	$(VENV)/bin/python -m pytest -q -n 2 --dist worksteal -m "not slow"

test: lint
	$(VENV)/bin/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

test-portable: $(VENV)/test
	LANG=C PYTHONUTF8=0 $(VENV)/bin/python -m pytest -q -m "not slow" \
		-p tests.without_posix --basetemp="$(or $(TMPDIR),/tmp)/lada_tf ü" $(PORTABLE)

test-backends: $(VENV)/backends
	$(VENV)/bin/python -m pytest -q -k torch $(BACKENDS)

test-loggers: $(VENV)/loggers
	$(VENV)/bin/python -m pytest -q -k "wandb or mlflow" \
		tests/training/test_user_callbacks.py

test-serving: $(VENV)/serve
	$(VENV)/bin/python -m pytest tests/serving/servers

test-browser: $(VENV)/browser
	$(VENV)/bin/python -m pytest tests/serving/browser

test-notebooks: $(VENV)/notebooks
	PATH="$(CURDIR)/$(VENV)/bin:$$PATH" \
		$(VENV)/bin/python -m pytest -n 2 --nbmake --nbmake-timeout=600 notebooks

docs: $(VENV)/docs
	mkdir -p build
	$(VENV)/bin/zensical build --strict --clean >build/docs.log 2>&1 || \
		{ cat build/docs.log; exit 1; }
	! grep "^griffe:" build/docs.log  # --strict ignores these warnings

lint: $(VENV)/test
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

$(VENV)/demo: setup.cfg pyproject.toml
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'Python 3.11 or newer is needed: make PYTHON=python3.11 ...')"
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) .
	touch $@

$(VENV)/test: $(VENV)/demo
	$(INSTALL) ".[test]"
	touch $@

$(VENV)/loggers: $(VENV)/test
	$(INSTALL) ".[test,wandb,mlflow]"
	touch $@

$(VENV)/serve: $(VENV)/test
	$(INSTALL) ".[test,serve]"
	touch $@

# On Linux, PyTorch from PyPI includes CUDA: several GB. Other indexes have smaller ones.
$(VENV)/backends: $(VENV)/test
	$(INSTALL) ".[test]" torch==2.13.0
	touch $@

$(VENV)/browser: $(VENV)/test
	$(INSTALL) ".[test,demo,browser]"
	touch $@

$(VENV)/notebooks: $(VENV)/test
	$(INSTALL) ".[test,notebooks]"
	touch $@

# One installation of all extras takes less time than one of each.
$(VENV)/all: $(VENV)/test
	$(INSTALL) ".[test,wandb,mlflow,serve,demo,browser,notebooks]" torch==2.13.0
	touch $(addprefix $(VENV)/,backends loggers serve browser notebooks) $@

$(VENV)/docs: $(VENV)/demo
	$(INSTALL) ".[docs]"
	touch $@

clean:
	rm -rf $(VENV) build dist site *.egg-info
