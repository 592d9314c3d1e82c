#!/usr/bin/env bash
# Installs Debian packages that tests need, if they are missing: scripts/install-debian.sh redis-server
set -euo pipefail
missing=()
for package in "$@"; do
  dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
done
[ "${#missing[@]}" -eq 0 ] && exit 0
sudo=()
[ "$(id -u)" -eq 0 ] || sudo=(sudo)
install() {
  DEBIAN_FRONTEND=noninteractive "${sudo[@]}" apt-get install -y --no-install-recommends "${missing[@]}" >/dev/null
}
# Package lists may be missing or out of date, and old lists install old browsers.
"${sudo[@]}" apt-get update >/dev/null
install
