# shellcheck shell=bash
# Debian keeps /usr/sbin from users, and cargo's directory is not on every PATH.
PATH=$PATH:/usr/sbin:/sbin:${CARGO_HOME:-$HOME/.cargo}/bin
