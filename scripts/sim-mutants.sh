#!/usr/bin/env bash
# Plants bugs and demands that the simulated world finds each of them within 100 seeds: some
# between the cores and the world (holdline-sim --mutant), some in a copy of the sources. Those of
# configurations are found by as many of them as `make test` runs, 60.
# Usage: scripts/sim-mutants.sh [seeds]
set -euo pipefail
cd "$(dirname "$0")/.."

seeds=${1:-100}
target=${CARGO_TARGET_DIR:-$PWD/target}
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT

# The sources, each planted bug behind its name in the environment: one build serves all.
git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents -t "$copy"
cat >>"$copy/proto/wire/src/lib.rs" <<'RUST'

/// Whether the environment asks for this bug.
#[allow(clippy::disallowed_methods)]
pub fn planted(name: &str) -> bool {
    static NAME: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    NAME.get_or_init(|| std::env::var("PLANTED_BUG").unwrap_or_default()) == name
}
RUST

planted=()
# plant NAME FILE FROM TO: replaces FROM, which must be there, in FILE.
plant() {
    planted+=("$1")
    FROM=$3 TO=$4 perl -0pi -e '
        my ($from, $to) = ($ENV{FROM}, $ENV{TO});
        my $at = index($_, $from);
        die "nothing to replace in $ARGV\n" if $at < 0;
        substr($_, $at, length $from) = $to;
    ' "$copy/$2"
}

plant lost-timer proto/b2bua/src/tags.rs \
    'self.ended.push_back((late(now + self.life), tag.into()));' \
    'if !holdline_wire::planted("lost-timer") {
            self.ended.push_back((late(now + self.life), tag.into()));
        }'
plant one-silent-stream agent/src/cluster/judge.rs \
    '&& probes >= corroborated)' \
    '&& (probes >= corroborated || holdline_wire::planted("one-silent-stream")))'
plant forgotten-hangup agent/src/core/call_signals.rs \
    'moving.hangup = Some(Box::new(passage));' \
    'moving.hangup = Some(Box::new(passage)).filter(|_| !holdline_wire::planted("forgotten-hangup"));'
plant stale-generation b2bua-node/src/core/claiming.rs \
    'call.generation = record.generation + 1;' \
    'call.generation = record.generation + u32::from(!holdline_wire::planted("stale-generation"));'
plant restart-unnoticed agent/src/core/cluster_events.rs \
    'self.fail_over(now, node, None, |far| match' \
    'if holdline_wire::planted("restart-unnoticed") { return; }
                self.fail_over(now, node, None, |far| match'
plant silent-agent-unnoticed b2bua-node/src/core/lost.rs \
    'Look::Gone => self.agent_is_gone(now, run, false),' \
    'Look::Gone if holdline_wire::planted("silent-agent-unnoticed") => {}
            Look::Gone => self.agent_is_gone(now, run, false),'
plant late-port agent/src/core/call.rs \
    'self.media
            .release(&mut env.streams.ports, &mut env.streams.commands);' \
    'if !holdline_wire::planted("late-port") || self.generation == 0 {
            self.media.release(&mut env.streams.ports, &mut env.streams.commands);
        }'
plant no-own-port proto/relay/src/media/session/moving.rs \
    'may_stay && ports.is_sound(*port)' \
    'may_stay && ports.is_sound(*port) && !holdline_wire::planted("no-own-port")'
plant open-port-again proto/relay/src/media/pool.rs \
    'self.set(port, State::Resting(self.now));
                self.resting.push_back(port);' \
    'if holdline_wire::planted("open-port-again") { self.set(port, State::Free); self.free.push_front(port); return; }
                self.set(port, State::Resting(self.now));
                self.resting.push_back(port);'

# What the drawn configurations are there to see.
configured=" clamp-upside-down idle-suspect "
plant clamp-upside-down agent/src/cluster/media.rs \
    '    fn threshold(&self, config: &HealthConfig) -> Duration {' \
    '    fn threshold(&self, config: &HealthConfig) -> Duration {
        if holdline_wire::planted("clamp-upside-down") {
            return self.spacing.clamp(config.media_silence_min, Duration::from_millis(250));
        }'
plant idle-suspect agent/src/cluster/config.rs \
    'silence_suspect: probe_interval * 3,' \
    'silence_suspect: if holdline_wire::planted("idle-suspect") { ms(750) } else { probe_interval * 3 },'

# Bugs that only storms have an occasion for.
declare -A campaign=([forgotten-hangup]=--storm [mark-ignored]=--storm [user-dropped]=--storm [silent-agent-unnoticed]=--storm)
plant mark-ignored agent/src/core/refusal.rs \
    '(false, true) => Whose::FarEnd,' \
    '(false, true) if holdline_wire::planted("mark-ignored") => Whose::Node,
            (false, true) => Whose::FarEnd,'
plant user-dropped b2bua-node/src/core/far_uri.rs \
    'let Some(own) = SipUri::parse(target) else {' \
    'let known = SipUri::parse(target).filter(|_| !holdline_wire::planted("user-dropped"));
    let Some(own) = known else {'

plant early-goodbye b2bua-node/src/core/owed_bye.rs \
    'let patience = self.env.config.waits.replaced;' \
    'let mut patience = self.env.config.waits.replaced;
        if holdline_wire::planted("early-goodbye") { patience = Default::default(); }'
plant place-freed-by-183 agent/src/core/dispatch.rs \
    'message.status() >= 200 {' \
    'message.status() >= (if holdline_wire::planted("place-freed-by-183") { 183 } else { 200 }) {'

cargo build --profile checked --quiet -p holdline-tests --bin holdline-sim
cp "$target/checked/holdline-sim" "$copy/sound"
(
    cd "$copy"
    sed -i 's/^warnings = "deny"/warnings = "allow"/' Cargo.toml
    CARGO_TARGET_DIR=$target cargo build --profile checked --quiet -p holdline-tests --bin holdline-sim
)
cp "$target/checked/holdline-sim" "$copy/mutated"

survived=0
# judge NAME SEEDS COMMAND...: a bug is found where a seed fails.
judge() {
    local name=$1 seeds=$2 status=0
    shift 2
    "$@" --seeds "$seeds" --stop-after 1 --quiet >"$copy/out" 2>&1 || status=$?
    if [ "$status" = 0 ]; then
        printf 'SURVIVED  %-18s %s seeds without a failure\n' "$name" "$seeds"
        survived=$((survived + 1))
    else
        printf 'killed    %-18s by %s: %s\n' "$name" \
            "$(grep -o '^seed [0-9]*' "$copy/out" | head -1)" \
            "$(sed -n 's/^  FAILED at //p' "$copy/out" | head -1)"
    fi
}

"$copy/sound" --seeds 20 --quiet >/dev/null || { echo "the world fails without any bug"; exit 2; }
for name in $("$copy/sound" --mutant list); do
    judge "$name" "$seeds" "$copy/sound" --mutant "$name"
done
for name in "${planted[@]}"; do
    case $configured in
    *" $name "*) judge "$name" 60 env PLANTED_BUG="$name" "$copy/mutated" --configurations ;;
    *) judge "$name" "$seeds" env PLANTED_BUG="$name" "$copy/mutated" ${campaign[$name]:+"${campaign[$name]}"} ;;
    esac
done
[ "$survived" = 0 ]
