# --- below: the same on every machine ----------------------------------------------------------------------
# Above are: WORKER_PREFIX MACHINE API_SERVER TOKEN LEASE GUARD MAX_LIFE AGENT_VERSION REQUIREMENTS DOCKER
# DOCKER_ARGUMENTS CONF CREDENTIALS GIT INIT_SCRIPT AGENTS SHARE_GPUS, and the agents' arguments as "$@". Nothing here is a long-lived secret; the token is for booting.
# For tests: TIDEGATE_ROOT (a folder instead of /), TIDEGATE_OFF (a command instead of power-off), TIDEGATE_PYTHON
# (one with clearml-agent installed), TIDEGATE_INSTANCE or TIDEGATE_IMDS, TIDEGATE_READ_EVERY and the limits below.
set -u
umask 077
ROOT=${TIDEGATE_ROOT:-}
RUN=$ROOT/run/tidegate
STATE=$ROOT/var/lib/tidegate
TICK=${TIDEGATE_TICK:-5}                     # all of these in seconds
DRAIN_GRACE=${TIDEGATE_DRAIN_GRACE:-60}      # drained, and the console does not end us: end ourselves
LEASE_LIFE=${TIDEGATE_LEASE_LIFE:-1800}      # no sign of the console for so long ...
IDLE_LIFE=${TIDEGATE_IDLE_LIFE:-900}         # ... and no task for so long: end ourselves
SERVER_EVERY=${TIDEGATE_SERVER_EVERY:-60}
DEATHS=${TIDEGATE_DEATHS:-8}                 # of the agent within ten minutes of its start: give up
MAX_LIFE=${TIDEGATE_MAX_LIFE:-$MAX_LIFE}
OFF_AGAIN=${TIDEGATE_OFF_AGAIN:-60}          # still here: power off once more
OFF=${TIDEGATE_OFF:-shutdown -P now || systemctl poweroff --force || poweroff -f}

clock() { read -r up _ </proc/uptime; echo "${up%.*}"; } # no clock step moves it
say() { echo "tidegate guard [$(clock)]: $*"; }
server() { "${PYTHON:-python3}" "$RUN/server.py" "$@"; }
# How far the boot has come, for the console.
phase() {
    say "$1"
    [ -n "$GUARD" ] && [ -n "$INSTANCE" ] && server set boot "$1 $(clock)"
}

# Ends the machine. Its cloud terminates what powers itself off, or the console does.
off() {
    say "power-off: $1"
    [ -n "$GUARD" ] && [ -n "$INSTANCE" ] && server set gone "$1"
    echo "$1" >"$STATE/off"
    while :; do
        sh -c "$OFF"
        sleep "$OFF_AGAIN"
    done
}

INSTANCE=''
mkdir -p "$RUN" "$STATE" || exit 1
# cloud-init runs user data at the first boot only, and what lies in this folder at every one. A machine that was made of
# this one's image has another name in the link, a life of its own, and user data of its own. Where the cloud itself runs
# this script at every boot it has told the name.
CLOUD=$ROOT/var/lib/cloud
named=${MACHINE:-$(readlink "$CLOUD/instance")}
[ "$(cat "$STATE/named" 2>/dev/null)" = "$named" ] || rm -f "$STATE/off" "$STATE/used" "$STATE/token"
echo "$named" >"$STATE/named"
if [ -z "$MACHINE" ] && [ -n "$named" ] && [ -d "$CLOUD/scripts/per-boot" ]; then
    printf '#!/bin/sh\n[ "$(readlink "%s")" != "%s" ] || exec "%s"\n' "$CLOUD/instance" "$named" "$0" >"$STATE/again" &&
        chmod 700 "$STATE/again" && mv "$STATE/again" "$CLOUD/scripts/per-boot/zz-tidegate" ||
        say "a machine that is switched off and on again will not start its agent"
fi
# Where the cloud only switches off what powers itself off, whoever is here again was started again on purpose.
[ -z "$MACHINE" ] || rm -f "$STATE/off"
[ -e "$STATE/off" ] && off "$(cat "$STATE/off")"
[ -e "$STATE/used" ] || echo 0 >"$STATE/used"
used=$(cat "$STATE/used") # life used before a reboot
born=$(clock)
life() { echo $((used + $(clock) - born)); }
remember_life() { life >"$STATE/used.new" && mv "$STATE/used.new" "$STATE/used"; } # the old one stays when the disk is full

# First of all the last resort, which survives this script: five minutes after its own end of life.
if [ -z "${TIDEGATE_OFF:-}" ] && command -v shutdown >/dev/null; then
    shutdown -P "+$(((MAX_LIFE - used) / 60 + 5))" || say "no power-off could be armed"
fi

export HOME="${HOME:-/root}"
export TIDEGATE_RUN="$RUN" TIDEGATE_TOKEN="$STATE/token" TIDEGATE_LEASE="$LEASE" CLEARML_API_HOST="$API_SERVER"
export TIDEGATE_TOKEN_LIFE="$TOKEN_LIFE" TIDEGATE_AGENTS="$AGENTS" TIDEGATE_GUARD="$GUARD"
[ -z "$CREDENTIALS" ] || rm -f "$TIDEGATE_TOKEN" # of an earlier boot; it may have ended
[ -s "$TIDEGATE_TOKEN" ] || printf %s "$TOKEN" >"$TIDEGATE_TOKEN"
unset TOKEN
# An only agent has the machine's name, and its files beside ours; of several each has a number, and a folder. sh has no
# lists: `take` makes one of them the present one, and `keep` remembers what is known of it.
NUMBERS=1
while [ "${NUMBERS##* }" -lt "$AGENTS" ]; do NUMBERS="$NUMBERS $((${NUMBERS##* } + 1))"; done
take() {
    n=$1 dir=$RUN worker=${CLEARML_WORKER_ID:-} log=$STATE/agent.log conf=$STATE/clearml.conf
    [ "$AGENTS" -eq 1 ] || dir=$RUN/$n worker=$worker.$n log=$STATE/agent.$n.log conf=$STATE/clearml.$n.conf
    eval "agent=\${agent_$n:-} started=\${started_$n:-0} deaths=\${deaths_$n:-0} next=\${next_$n:-0}"
}
keep() { eval "agent_$n=\$agent started_$n=\$started deaths_$n=\$deaths next_$n=\$next"; }
# Of one after the other, until it fails; until it succeeds.
every() { for one in $NUMBERS; do take "$one" && "$@" || return 1; done; }
some() { for one in $NUMBERS; do take "$one" && "$@" && return 0; done; return 1; }
fresh() { mkdir -p "$dir" && rm -f "$dir/cordon" "$dir/drained" "$dir/task" "$dir/state" "$dir/dead" "$dir/hold"; }
every fresh
# --- the files

# --- who we are. An image without Python, or one that needs its init script to reach the server, cannot say it yet.
introduce() {
    [ -n "$INSTANCE" ] || INSTANCE=${TIDEGATE_INSTANCE:-${MACHINE:-$("$PYTHON" "$RUN/cloud.py" id)}}
    [ -n "$INSTANCE" ] || return 1
    case $WORKER_PREFIX in *:) WORKER_PREFIX=$WORKER_PREFIX$("$PYTHON" "$RUN/cloud.py" type) || return 1 ;; esac # EC2 chose it
    export CLEARML_WORKER_ID="$WORKER_PREFIX:$INSTANCE" TIDEGATE_MAILBOX="drain:$INSTANCE"
    [ -s "$TIDEGATE_TOKEN" ] || "$PYTHON" "$RUN/secret.py" "$CREDENTIALS" | server login || return 1
    [ -z "$GUARD" ] || server create
}
PYTHON=${TIDEGATE_PYTHON:-$(command -v python3)}
[ -n "$PYTHON" ] && introduce && phase "mailbox made"

if [ -n "$INIT_SCRIPT" ]; then
    phase "init script begun"
    printf '%s\n' "$INIT_SCRIPT" >"$STATE/init"
    chmod 700 "$STATE/init"
    case $INIT_SCRIPT in '#!'*) "$STATE/init" ;; *) sh "$STATE/init" ;; esac || off "init script failed"
    phase "init script done"
fi

[ -z "$DOCKER" ] || command -v docker >/dev/null || off "docker mode, and there is no docker"
[ -z "$DOCKER_ARGUMENTS" ] || export CLEARML_AGENT_EXTRA_DOCKER_ARGS="$DOCKER_ARGUMENTS"

# --- Python with the pinned agent: the image's own if it has that version, else one of ours
has_agent() { "$1" -c "import sys, clearml_agent.version as v; sys.exit(v.__version__ != '$AGENT_VERSION')" 2>/dev/null; }
own_python() {
    python3 -m venv "$STATE/venv" || { apt-get update && apt-get install -y python3-venv && python3 -m venv "$STATE/venv"; }
}
install_agent() {
    printf '%s\n' "$REQUIREMENTS" >"$STATE/requirements"
    if [ -n "$REQUIREMENTS" ]; then set -- --require-hashes -r "$STATE/requirements"; else set -- "clearml-agent==$AGENT_VERSION"; fi
    "$STATE/venv/bin/python" -m pip install -q --disable-pip-version-check "$@"
}
PYTHON=${TIDEGATE_PYTHON:-}
if [ -z "$PYTHON" ]; then
    for PYTHON in python3 "$STATE/venv/bin/python" ''; do
        [ -n "$PYTHON" ] && has_agent "$PYTHON" && break
    done
    [ -n "$PYTHON" ] || phase "agent install begun"
    if [ -z "$PYTHON" ] && own_python && install_agent; then
        PYTHON=$STATE/venv/bin/python
    fi
    [ -n "$PYTHON" ] || off "clearml-agent $AGENT_VERSION could not be installed"
fi

tries=10
until introduce; do
    tries=$((tries - 1))
    [ -n "$INSTANCE" ] || off "no instance id"
    [ $tries -gt 0 ] || [ -s "$TIDEGATE_TOKEN" ] || off "agent_credentials could not be read"
    [ $tries -gt 0 ] || off "no mailbox could be made"
    sleep "$TICK"
done
phase "agent installed"
say "worker $CLEARML_WORKER_ID"
[ "$AGENTS" -eq 1 ] || [ -z "$GUARD" ] || server set agents "$AGENTS"

# --- the agent's clearml.conf: the image's own, the pool's, and what the guard needs. Of a key said twice the last counts.
setting() { printf '%s: "%s"\n' "$1" "$(printf %s "$2" | sed 's/["\\]/\\&/g')"; }
if [ -n "$CONF$GIT" ]; then
    git=''
    [ -z "$GIT" ] || git=$("$PYTHON" "$RUN/secret.py" "$GIT") || off "git_credentials could not be read"
    configure() {
        cat "${CLEARML_CONFIG_FILE:-$HOME/clearml.conf}" 2>/dev/null
        printf '\n%s\n' "$CONF"
        [ -z "$git" ] || setting agent.git_user "${git%%:*}"
        [ -z "$git" ] || setting agent.git_pass "${git#*:}"
        setting api.api_server "$API_SERVER"
        setting agent.worker_id "$worker"
        # It would be put into the agent's environment, over ours.
        setting environment.CLEARML_API_HOST "$API_SERVER"
        setting environment.CLEARML_WORKER_ID "$worker"
    } >"$conf"
    every configure
fi

# --- whose the GPUs are: as many for each agent, or one more where they do not divide
gpus=0
[ -z "$SHARE_GPUS" ] || ! command -v nvidia-smi >/dev/null || gpus=$(nvidia-smi -L | grep -c '^GPU ')
[ "$gpus" -eq 0 ] || [ "$gpus" -ge "$AGENTS" ] || off "$AGENTS agents, and $gpus GPU to share"
# The first GPU of the agent behind so many others.
gpu_of() { echo $((($1 * gpus + AGENTS - 1) / AGENTS)); }
shared=''

# --- the agents
start() {
    rm -f "$dir/task" "$dir/drained"
    [ -z "$CONF$GIT" ] || export CLEARML_CONFIG_FILE="$conf"
    if [ "$gpus" -gt 0 ]; then
        shared=$(seq -s , "$(gpu_of $((n - 1)))" $(($(gpu_of "$n") - 1)))
        shift
        set -- daemon --gpus "$shared" "$@"
    fi
    case $GUARD in
    gate) set -- "$RUN/gate.py" "$@" ;;
    hold) # Its own queue is asked first: `--queue` is the last option.
        words=$# asked=''
        while [ $words -gt 0 ]; do
            word=$1
            shift
            set -- "$@" "$word"
            words=$((words - 1))
            [ "$asked$word" = --queue ] && set -- "$@" "$TIDEGATE_MAILBOX" && asked=yes
        done
        set -- -m clearml_agent "$@"
        ;;
    *) set -- -m clearml_agent "$@" ;;
    esac
    TIDEGATE_AGENT_OF=$dir TIDEGATE_RUN=$dir CLEARML_WORKER_ID=$worker CLEARML_AUTH_TOKEN=$(cat "$TIDEGATE_TOKEN") \
        setsid "$PYTHON" "$@" </dev/null >>"$log" 2>&1 &
    agent=$!
    started=$(clock)
    keep
    say "agent $agent started${shared:+, with GPU $shared}"
}
alive() { [ -n "$agent" ] && kill -0 "$agent" 2>/dev/null; }
# A dead agent's job lives on: whatever the agent started carries its mark, and its containers its label. One that starts
# another process while it is being killed is caught by the next look.
kill_left_over() {
    for look in 1 2 3 4 5; do
        killed=''
        [ -z "$DOCKER" ] || for container in $(docker ps -q --filter "label=clearml-parent-worker-id=$worker"); do
            docker kill "$container" && killed=$look
        done
        for process in /proc/[0-9]*; do
            { tr '\0' '\n' <"$process/environ"; } 2>/dev/null | grep -qxF "TIDEGATE_AGENT_OF=$dir" &&
                kill -KILL "${process#/proc/}" 2>/dev/null && killed=$look
        done
        [ -n "$killed" ] || return 0
        sleep 1
    done
}
close_gate() { rm -f "$dir/drained" && : >"$dir/cordon"; }
open_gate() { rm -f "$dir/cordon"; }
holds() { ! alive || [ -e "$dir/drained" ]; }
works() { alive && [ -e "$dir/task" ]; }
said() { case $(cat "$dir/state" 2>/dev/null) in "$1"*) ;; *) false ;; esac }
is_dead() { [ -e "$dir/dead" ]; }
has_drained() { is_dead || said drained:; }
send() { ! alive || kill "-$1" "$agent" || :; }
# Without a gate only the server knows what runs here; several agents always have gates.
has_no_gate() { [ "$GUARD" = hold ] || some said nogate; }
# True when the gates hold and nothing runs; false, and the gates as before, when something runs after all. Where there is no
# gate a hidden task in the machine's own queue holds.
cordon() {
    [ -n "$GUARD" ] || return 1
    if has_no_gate; then
        some alive || return 0
        [ "$AGENTS" -eq 1 ] && server hold
        return
    fi
    every close_gate
    tries=30
    while [ $tries -gt 0 ]; do
        every holds && return 0
        some works && break
        sleep 1
        tries=$((tries - 1))
    done
    every open_gate
    return 1
}
# The cloud takes the machine back. A task with an abort callback is given the time for it.
taken_back() {
    say "spot notice: $1"
    for look in 1 2 3; do
        cordon && break
        every close_gate
        server requeue "spot notice" || break
    done
    off "spot notice"
}
stop() {
    trap '' TERM INT
    # Google's notice comes with the power-off.
    [ -z "$GUARD" ] || ! notice=$("$PYTHON" "$RUN/cloud.py" notice) || taken_back "$notice"
    say "stopped from outside"
    every close_gate
    every send TERM
    tries=30
    while some alive && [ $tries -gt 0 ]; do
        sleep 1
        tries=$((tries - 1))
    done
    every kill_left_over
    remember_life
    exit 0
}
# Looks after one agent: starts it again when it died, and gives it up when it does not live.
tend() {
    ! is_dead || return 0
    if ! alive; then
        wait "$agent" 2>/dev/null
        if [ "$next" -eq 0 ]; then
            kill_left_over
            [ $((now - started)) -gt 600 ] && deaths=0
            deaths=$((deaths + 1))
            [ "$deaths" -gt "$DEATHS" ] && {
                tail -n 20 "$log"
                [ -z "$GUARD" ] || server log "$log"
                say "an agent is given up"
                rm -f "$dir/task"
                : >"$dir/dead"
                agent=''
                return
            }
            next=$(($(clock) + 2 * deaths * deaths))
            say "the agent died ($deaths); again in $((2 * deaths * deaths)) s"
        fi
        [ "$now" -ge "$next" ] && { next=0; start "$@"; }
    fi
    [ ! -e "$dir/task" ] || busy_at=$now
}
trap stop TERM INT

server_at=0 lease='' ended='' lease_at=$(clock) busy_at=$(clock) drained_at=''
every start "$@"
phase "agent started"
while :; do
    sleep "$TICK" &
    wait $!
    now=$(clock)
    remember_life

    for n in $NUMBERS; do take "$n"; tend "$@"; keep; done
    every is_dead && off "the agent does not live"

    # A killed run stays in progress by its status, so that the console puts it back; a stopped one would not.
    if [ "$(life)" -ge "$MAX_LIFE" ]; then
        cordon || { every send KILL && every kill_left_over; }
        off "end of life"
    fi
    [ -n "$GUARD" ] || continue
    notice=$("$PYTHON" "$RUN/cloud.py" notice) && taken_back "$notice"

    if every has_drained; then drained_at=${drained_at:-$now}; else drained_at=''; fi
    [ -n "$drained_at" ] && [ $((now - drained_at)) -ge "$DRAIN_GRACE" ] && cordon && off drained

    if [ "$now" -ge "$server_at" ]; then
        server_at=$((now + SERVER_EVERY))
        server renew || :
        heard=$(server lease) && [ "$heard" != "$lease" ] && lease=$heard lease_at=$now
        some said nogate && server set state nogate
        has_no_gate && { server idle || busy_at=$now; }
        # A drain whose tasks may not go on: they write what they have, wait again, and the drain is answered as any.
        end=$(server end) && [ -n "$end" ] && [ "$end" != "$ended" ] && say "tasks are to end" &&
            server requeue "asked to checkpoint" && ended=$end
    fi
    if [ $((now - lease_at)) -ge "$LEASE_LIFE" ] && [ $((now - busy_at)) -ge "$IDLE_LIFE" ]; then
        cordon && off "console lost, idle"
    fi
done
