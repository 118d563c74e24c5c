#!/usr/bin/env bash
# Unpacks packages of a newer Debian suite into a folder, beside what is installed:
#
#   tools/newer_debian.sh SUITE FOLDER PACKAGE...
#
# Takes the machine's own package source with another suite, in lists of its own, so that nothing installed changes.
set -euo pipefail
suite=$1 folder=$2
shift 2
sources=/etc/apt/sources.list.d/debian.sources list=/etc/apt/sources.list # which of the two it is, the installer chose

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work" # apt reads and writes as a user of its own
mkdir -p "$work"/lists/partial "$work"/cache/archives/partial "$folder"
if [ -r "$sources" ]; then
    newer=$work/newer.sources
    awk 'BEGIN { RS = "" } NR == 1' "$sources" | sed "s/^Suites:.*/Suites: $suite/" > "$newer"
else
    newer=$work/newer.list
    awk -v suite="$suite" '$1 == "deb" { $($2 ~ /^\[/ ? 4 : 3) = suite; print; exit }' "$list" > "$newer"
fi
options=(
    -qq
    -o Dir::Etc::sourcelist="$newer" -o Dir::Etc::sourceparts=-
    -o Dir::State::lists="$work/lists" -o Dir::Cache="$work/cache"
    -o APT::Sandbox::User=root
)
apt-get "${options[@]}" update
(cd "$work" && apt-get "${options[@]}" download "$@")
for package in "$work"/*.deb; do
    dpkg -x "$package" "$folder"
done
