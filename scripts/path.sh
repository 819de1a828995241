# shellcheck shell=bash
# Debian keeps /usr/sbin from users, and neither cargo's nor Go's directory is on every PATH.
PATH=$PATH:/usr/sbin:/sbin:${CARGO_HOME:-$HOME/.cargo}/bin:/usr/local/go/bin
