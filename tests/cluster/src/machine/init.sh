#!/usr/bin/env bash
# PID 1 of a machine: init.sh NAME [STATE [BPFFS]]. With STATE the machine is a node, and gets a
# /run, /var/lib, /var/log, /sys and sysctls of its own; and a BPF file system, unless BPFFS is no.
# Tells its process id as the host knows it, and ends when its standard input does: with it ends
# whatever runs in its PID namespace.
set -euo pipefail

main() {
  local pid
  # /proc is still the host's here.
  read -r pid _ </proc/self/stat
  hostname "$1"
  [[ $# -eq 1 ]] || sysfs "$2/cgroup" "${3:-yes}"
  mount -t proc proc /proc
  [[ $# -eq 1 ]] || own "$2"
  # Containers ask for mounts that propagate.
  mount --make-rshared /
  echo "$pid"
  read -r _ || true
}

# A /sys that shows this network namespace's devices, around the host's cgroups.
sysfs() {
  mkdir -p "$1"
  mount --rbind /sys/fs/cgroup "$1"
  mount -t sysfs sysfs /sys
  mount --move "$1" /sys/fs/cgroup
  [[ $2 == no ]] || mount -t bpf bpf /sys/fs/bpf
  # Not in every kernel, and needed by none of the node's parts.
  mount -t tracefs tracefs /sys/kernel/tracing 2>/dev/null || true
  mount -t debugfs debugfs /sys/kernel/debug 2>/dev/null || true
}

own() {
  mkdir -p "$1"/{lib,log,sysctl}
  mount --bind "$1/lib" /var/lib
  mount --bind "$1/log" /var/log
  sysctls "$1/sysctl"
  mount -t tmpfs -o mode=755 tmpfs /run
  mkdir /run/lock /run/netns
}

# The kubelet would set these for the whole machine; it finds them set.
sysctls() {
  local entry file
  for entry in vm/overcommit_memory=1 vm/panic_on_oom=0 kernel/panic=10 kernel/panic_on_oops=1 \
    kernel/keys/root_maxkeys=1000000 kernel/keys/root_maxbytes=25000000; do
    file=$1/$(tr / _ <<<"${entry%=*}")
    echo "${entry#*=}" >"$file"
    mount --bind "$file" "/proc/sys/${entry%=*}"
  done
}

main "$@"
