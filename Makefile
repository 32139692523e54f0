# The commands a person types. Each is one line; the work is in scripts/ and cargo.

SIM = $(or $(CARGO_TARGET_DIR),target)/checked/holdline-sim

.PHONY: demo test build check sim sim-mutants fuzz bench bench-failover clean

# Three nodes, one agent, CALLS calls with media; the busiest node dies; the story is told.
demo:
	scripts/demo $(if $(CALLS),--calls $(CALLS))

# Everything that is tested, on a fresh machine.
test:
	scripts/test

build:
	cargo build --release --workspace --bins

# Formatting, lints and documentation only.
check:
	scripts/check

# SEEDS disasters and as many storms in the simulated world, from seed FROM on, and CONFIGURATIONS
# (3000) that the programs accept.
sim:
	cargo build --quiet --profile checked -p holdline-tests --bin holdline-sim
	$(SIM) --seeds $(or $(SEEDS),300) --from $(or $(FROM),1) --shrink --quiet
	$(SIM) --storm --seeds $(or $(SEEDS),300) --from $(or $(FROM),1) --shrink --quiet
	$(SIM) --configurations --seeds $(or $(CONFIGURATIONS),3000) --from $(or $(FROM),1) --quiet

# Twenty-two planted bugs: the simulated world must notice each of them.
sim-mutants:
	scripts/sim-mutants.sh

# The fuzz targets of every parser, MINUTES in all; CORPUS=DIR keeps what they learn.
fuzz:
	scripts/fuzz --minutes $(or $(MINUTES),30)

# Every benchmark, or ONLY=relay, RUNS times each; writes docs/dev/benchmarks.md. Nothing else should run.
bench:
	ONLY=$(ONLY) RUNS=$(RUNS) scripts/bench

# Nodes that die in every way, on hosts in network namespaces (needs root), listened to for AFTER
# (60s), and MINUTES (30) of false verdicts at 20 % loss.
bench-failover:
	ONLY=failover RUNS=$(RUNS) AFTER=$(AFTER) CASES=$(CASES) scripts/bench
	ONLY=trust MINUTES=$(MINUTES) scripts/bench

clean:
	cargo clean
