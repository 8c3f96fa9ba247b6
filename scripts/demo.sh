#!/bin/sh
# The first five minutes with flytelite, against the server that FLYTELITE_ENDPOINT names. $1 is the command.
set -eu
flytelite=$(command -v "$1")
case $flytelite in /*) ;; *) flytelite=$PWD/$flytelite ;; esac
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT

say() {
    printf '\n$ flytelite %s\n' "$*"
    "$flytelite" "$@"
}

cd "$directory"
say init hello .
say register hello.py
say run hello.py count_words --top 5
say ls executions
