#!/usr/bin/env bash
# Plans a pull request: what its merge would change, as one comment, a commit status, the job's summary and annotations.
# Runs from a folder of its own, with a home of its own, so that nothing an earlier job left counts. It needs git and
# aurora, and takes everything by variables:
#   GITHUB_SERVER_URL, GITHUB_API_URL, GITHUB_REPOSITORY   the forge, its API and the repository there, OWNER/NAME
#   TOKEN, AUTHOR             what may read it, comment and set statuses, and whose comments it makes
#   NUMBER HEAD MERGE         the pull request, its newest commit, and the merge of that with its base
#   ENVIRONMENTS              the environments, with spaces between
#   REGISTRY                  a folder that holds aurora/, in which versions are looked up; empty: none
#   STATUS                    whom to ask how many requests come, ENVIRONMENT=URL of a control plane with spaces between
#   STATUS_KEYS               a folder with a key for each of them, in a file named after the environment; empty: none
# Exits 0 where every plan was computed and nothing stops it, else 1.
set -euo pipefail

for name in GITHUB_SERVER_URL GITHUB_API_URL GITHUB_REPOSITORY TOKEN AUTHOR NUMBER HEAD MERGE ENVIRONMENTS; do
  [ -n "${!name:-}" ] || { echo "plan: $name is not given" >&2; exit 1; }
done
work=$(mktemp -d "${RUNNER_TEMP:-${TMPDIR:-/tmp}}/aurora-plan.XXXXXX")
trap 'rm -rf "$work"' EXIT
umask 077
export HOME="$work/home" GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null GIT_TERMINAL_PROMPT=0
mkdir "$HOME"
printf '%s\n' "$TOKEN" >"$work/token"
unset TOKEN

# The token reaches Git by a file: neither its arguments nor the repository's configuration hold it.
printf '#!/bin/sh\necho username=x-access-token\nprintf "password=%%s\\n" "$(cat %q)"\n' "$work/token" >"$work/helper"
chmod 700 "$work/helper"
git init -q "$work/repository"
cd "$work/repository"
git config core.hooksPath /dev/null
git config credential.helper "$work/helper"
# Nothing of Git's goes on in the folder while it is removed.
git config maintenance.auto false
# The merge, and its whole history: a gate may ask how long a version has been elsewhere.
git fetch -q --no-tags "$GITHUB_SERVER_URL/$GITHUB_REPOSITORY" "$MERGE" ||
  { echo "plan: the merge $MERGE cannot be fetched; does the pull request conflict with its base?" >&2; exit 1; }
base=$(git rev-parse --verify -q 'FETCH_HEAD^1') ||
  { echo "plan: $MERGE is no merge" >&2; exit 1; }
git update-ref refs/heads/plan FETCH_HEAD
git symbolic-ref HEAD refs/heads/plan

failed=0
for environment in $ENVIRONMENTS; do
  code=0 counting=()
  for pair in ${STATUS:-}; do
    [ "${pair%%=*}" != "$environment" ] || counting=(--status-api "${pair#*=}")
  done
  [ "${#counting[@]}" -eq 0 ] || [ -z "${STATUS_KEYS:-}" ] || counting+=(--status-key-file "$STATUS_KEYS/$environment")
  aurora plan --repo . --environment "$environment" --base "$base" --head "$MERGE" \
    ${REGISTRY:+--registry "$REGISTRY"} "${counting[@]}" --pull-request "$NUMBER" --pull-request-head "$HEAD" \
    --github-token-file "$work/token" --github-api "$GITHUB_API_URL" \
    --github-repository "$GITHUB_REPOSITORY" --github-author "$AUTHOR" \
    ${GITHUB_STEP_SUMMARY:+--summary "$GITHUB_STEP_SUMMARY"} --annotate || code=$?
  # 1 says that something would change.
  [ "$code" -le 1 ] || failed=1
done
exit "$failed"
