#!/usr/bin/env bash
# Unpacks packages of a newer Debian suite into a folder, beside what is installed:
#
#   tools/newer_debian.sh SUITE FOLDER PACKAGE...
#
# Takes the machine's own package source with another suite, in lists of its own, so that nothing installed changes.
set -euo pipefail
suite=$1 folder=$2
shift 2
source=/etc/apt/sources.list.d/debian.sources
[ -r "$source" ] || { echo "$0: $source is not there: this is no Debian 12 or newer" >&2; exit 1; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work" # apt reads and writes as a user of its own
mkdir -p "$work"/lists/partial "$work"/cache/archives/partial "$folder"
awk 'BEGIN { RS = "" } NR == 1' "$source" | sed "s/^Suites:.*/Suites: $suite/" > "$work/debian.sources"
options=(
    -qq
    -o Dir::Etc::sourcelist="$work/debian.sources" -o Dir::Etc::sourceparts=-
    -o Dir::State::lists="$work/lists" -o Dir::Cache="$work/cache"
    -o APT::Sandbox::User=root
)
apt-get "${options[@]}" update
(cd "$work" && apt-get "${options[@]}" download "$@")
for package in "$work"/*.deb; do
    dpkg -x "$package" "$folder"
done
