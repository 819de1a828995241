# Each target is a line or two; anything longer is a script in scripts/.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help setup demo cluster cluster-down test bench images ebpf gen lint clean-lab

help: ## Show the targets.
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14

setup: ## Install what is missing: Debian packages, Rust components, bpf-linker, cargo-fuzz.
	@scripts/setup.sh

demo: ## Flood a QUIC service in namespaces, without STOQ and with it (root).
	@scripts/lab-bin.sh demo

bench: ## Measure the guard, the accept path, the pod hooks and the transports against baselines (root).
	@scripts/lab-bin.sh bench

cluster: ## Start a real Kubernetes on this machine, and say how to talk to it (root).
	@scripts/setup.sh && scripts/kube.sh && cargo run --quiet --locked -p stoq-cluster --bin cluster -- up

cluster-down: ## End that Kubernetes and remove all of it.
	@cargo run --quiet --locked -p stoq-cluster --bin cluster -- down

test: setup ## Run every test; without root those it can, and say which it leaves out.
	@scripts/test.sh

images: ## Build both images for amd64 and arm64 into target/images, without registry or engine.
	@scripts/setup.sh images && scripts/images.sh

ebpf: ## Rebuild the BPF objects and fail if they differ from the committed ones.
	@ebpf/programs/build.sh --check

gen: ## Regenerate what is generated and committed: CRD, metrics page, BPF objects.
	@scripts/gen.sh

lint: ## Check format, clippy, licences, the direction of dependencies and where unsafe code is.
	@scripts/lint.sh

clean-lab: ## Remove what killed runs left behind: namespaces, mounts, directories.
	@cargo run --quiet --locked -p stoq-cluster --bin cluster -- sweep
