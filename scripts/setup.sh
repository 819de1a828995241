#!/usr/bin/env bash
# Installs what building, testing and the lab need and is missing; silent when nothing is.
# With the word images also what scripts/images.sh needs.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/path.sh

readonly LINKER=0.10.4 FUZZ=0.13.2

main() {
  packages "${1:-}"
  toolchain
  go_toolchain
  cargo_tool bpf-linker "$LINKER" "$(bpf-linker --version 2>/dev/null || true)"
  cargo_tool cargo-fuzz "$FUZZ" "$(cargo fuzz --version 2>/dev/null || true)"
  bpffs
}

packages() {
  local missing=() entry
  # command:package
  for entry in bpftool:bpftool nft:nftables ethtool:ethtool ip:iproute2 cc:gcc c++:g++ \
    pkg-config:pkg-config make:make nsenter:util-linux mount:mount openssl:openssl ps:procps tc:iproute2 \
    chrt:util-linux setpriv:util-linux prlimit:util-linux ping:iputils-ping shellcheck:shellcheck \
    containerd:containerd runc:runc conntrack:conntrack iptables:iptables busybox:busybox-static; do
    command -v "${entry%%:*}" >/dev/null || missing+=("${entry##*:}")
  done
  # gcc only recommends it.
  [[ -e /usr/include/stdio.h && -e /usr/include/linux/if_xdp.h ]] || missing+=(libc6-dev)
  if [[ $1 == images ]]; then
    for entry in musl-gcc:musl-tools aarch64-linux-gnu-gcc:gcc-aarch64-linux-gnu \
      x86_64-linux-gnu-gcc:gcc-x86-64-linux-gnu jq:jq; do
      command -v "${entry%%:*}" >/dev/null || missing+=("${entry##*:}")
    done
    [[ $(uname -m) == aarch64 || -e /usr/aarch64-linux-gnu/include/stdio.h ]] || missing+=(libc6-dev-arm64-cross)
    [[ $(uname -m) == x86_64 || -e /usr/x86_64-linux-gnu/include/stdio.h ]] || missing+=(libc6-dev-amd64-cross)
  fi
  [[ -e /usr/lib/cni/ptp ]] || missing+=(containernetworking-plugins)
  [[ ${#missing[@]} -gt 0 ]] || return 0
  if ! root; then
    echo "setup: missing, and only root can install: ${missing[*]}" >&2
  elif command -v apt-get >/dev/null; then
    install_packages "${missing[@]}"
  else
    echo "setup: no apt-get here; install what corresponds to: ${missing[*]}" >&2
  fi
}

install_packages() {
  echo "setup: installing $*" >&2
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$@" >/dev/null
}

toolchain() {
  command -v rustup >/dev/null || { echo "setup: rustup is missing: see https://rustup.rs" >&2; exit 1; }
  local channel components installed component
  channel=$(sed -n 's/^channel = "\(.*\)"/\1/p' rust-toolchain.toml)
  components=$(sed -n 's/^components = \[\(.*\)\]/\1/p' rust-toolchain.toml | tr -d '",')
  rustup toolchain list | grep "^$channel-" >/dev/null ||
    rustup toolchain install "$channel" --profile minimal --no-self-update
  installed=$(rustup component list --toolchain "$channel" --installed)
  for component in $components; do
    grep -q "^$component" <<<"$installed" || rustup component add --toolchain "$channel" "$component"
  done
}

# Only tests/cluster needs it; scripts/kube.sh knows from which version on.
go_toolchain() {
  command -v go >/dev/null ||
    echo "setup: Go is missing, which the Kubernetes of tests/cluster is built with: see https://go.dev/doc/install" >&2
}

# name, version, what the installed one says of itself
cargo_tool() {
  [[ "$3" != "$1 $2" ]] || return 0
  echo "setup: installing $1 $2 (minutes)" >&2
  cargo install --quiet --locked "$1@$2"
}

bpffs() {
  local dir=/sys/fs/bpf
  [[ $(stat -f -c %T "$dir" 2>/dev/null) != bpf_fs ]] || return 0
  if root; then
    mount -t bpf bpf "$dir" || echo "setup: no BPF file system at $dir: see the kernel's words above" >&2
  else
    echo "setup: no BPF file system at $dir; root mounts it: mount -t bpf bpf $dir" >&2
  fi
}

root() { [[ $EUID -eq 0 ]]; }

main "$@"
