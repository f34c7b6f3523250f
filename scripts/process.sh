# Shared by the scripts of this folder (sourced, never run): progress lines, free
# loopback ports, starting a process in the background, waiting for it, stopping
# it by pid. It deliberately never stops a process by name, and knows nothing of
# any particular server.
# shellcheck shell=bash

# When the outermost script started: those it calls count on from there.
export RWAHUB_TEST_STARTED="${RWAHUB_TEST_STARTED:-$(date +%s)}"

# One progress line on stderr, with the seconds since then.
say() { printf '[%4ss] %s\n' "$(($(date +%s) - RWAHUB_TEST_STARTED))" "$*" >&2; }

die() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }

# port_open HOST PORT: does somebody accept connections there?
port_open() { (exec 3<>"/dev/tcp/$1/$2") 2>/dev/null; }

# A loopback port nobody listens on, below the range the kernel hands out.
free_port() {
  local port tries
  for tries in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    port=$((20000 + (RANDOM * 32768 + RANDOM + tries) % 12000))
    if ! port_open 127.0.0.1 "$port"; then
      echo "$port"
      return 0
    fi
  done
  return 1
}

# spawn PIDFILE LOG COMMAND...: run in the background, in a session of its own so
# that Ctrl-C in the terminal reaches only the script, which then stops it.
spawn() {
  local pid_file=$1 log=$2 detach=""
  shift 2
  if have setsid; then detach=setsid; fi
  # shellcheck disable=SC2086  # empty or one word
  nohup $detach "$@" >"$log" 2>&1 </dev/null &
  echo "$!" >"$pid_file"
}

# alive PIDFILE [WORD]: is that process running, and is WORD part of its command
# line? The word guards against a pid that was handed to somebody else since.
alive() {
  local pid
  pid=$(cat "$1" 2>/dev/null) || return 1
  [ -n "$pid" ] && kill -0 "$pid" 2>/dev/null || return 1
  case $(ps -o stat= -p "$pid" 2>/dev/null) in Z*) return 1 ;; esac
  [ -z "${2:-}" ] || ps -ww -o args= -p "$pid" 2>/dev/null | grep -qF -- "$2"
}

# stop PIDFILE [WORD]: SIGTERM, wait up to 10 s, then SIGKILL; removes the file.
stop() {
  local pid tenths=0
  if alive "$1" "${2:-}"; then
    pid=$(cat "$1")
    kill "$pid" 2>/dev/null || true
    while alive "$1" "${2:-}"; do
      tenths=$((tenths + 1))
      if [ "$tenths" -ge 100 ]; then
        say "pid $pid ignored SIGTERM for 10 s, killing it"
        kill -9 "$pid" 2>/dev/null || true
        break
      fi
      sleep 0.1
    done
  fi
  rm -f "$1"
}

# wait_ready SECONDS PIDFILE LOG COMMAND...: until COMMAND succeeds. Returns 1 with
# the last lines of the log when the process ends first or the time is up.
wait_ready() {
  local seconds=$1 pid_file=$2 log=$3 deadline
  shift 3
  deadline=$((SECONDS + seconds))
  until "$@" >/dev/null 2>&1; do
    if ! alive "$pid_file"; then
      say "it ended before it was ready; last lines of $log:"
    elif [ "$SECONDS" -ge "$deadline" ]; then
      say "not ready after $seconds s; last lines of $log:"
    else
      sleep 0.1
      continue
    fi
    tail -n 15 "$log" >&2 || true
    return 1
  done
}

# bounded SECONDS COMMAND...: run with a time limit, in the background so that a
# signal to the script is acted on at once. The pid is in BOUNDED_PID meanwhile.
bounded() {
  local seconds=$1 code=0
  shift
  if have timeout; then
    timeout -k 15 "$seconds" "$@" &
  else
    "$@" &
  fi
  BOUNDED_PID=$!
  wait "$BOUNDED_PID" || code=$?
  BOUNDED_PID=""
  [ "$code" -ne 124 ] || say "stopped after its limit of $seconds s: $*"
  return "$code"
}

# install_debian_package PACKAGE LOG: as root or by sudo without a password. When it cannot, `package_fault` says
# why and what to do.
package_fault=""
install_debian_package() {
  local as_root="" package=$1 log=$2
  if ! have apt-get; then
    package_fault="not on PATH and no apt-get here; install $package"
    return 1
  fi
  if [ "$(id -u)" -ne 0 ]; then
    if ! sudo -n true 2>/dev/null; then
      package_fault="not on PATH; run: sudo apt-get install $package"
      return 1
    fi
    as_root=sudo
  fi
  say "installing the Debian package $package"
  apt_get_install "$as_root" "$package" "$log" && return 0
  $as_root apt-get update >>"$log" 2>&1 || true # the package list may be absent or old
  apt_get_install "$as_root" "$package" "$log" && return 0
  package_fault="apt-get install $package failed: $(tail -n 1 "$log")"
  return 1
}

apt_get_install() {
  DEBIAN_FRONTEND=noninteractive $1 apt-get install -y -q --no-install-recommends "$2" >>"$3" 2>&1
}
