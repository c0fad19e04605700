#!/bin/bash
# Makes the fixture anew with the binary of a release: make.sh AURORA FOLDER. The data directory is what it left of three
# commits: a canary, its promotion, and another canary, which was aborted.
set -eu
A=$1; F=$2; W=$(mktemp -d); export GIT_AUTHOR_NAME=t GIT_AUTHOR_EMAIL=t@example.org GIT_COMMITTER_NAME=t GIT_COMMITTER_EMAIL=t@example.org
mkdir -p $W/repo/environments/dev; cd $W/repo; git init -q -b main .
commit() { GIT_AUTHOR_DATE="$1" GIT_COMMITTER_DATE="$1" git -c commit.gpgsign=false commit -qam "$2"; }
job() { printf 'apiVersion: aurora.io/v1alpha1\nkind: MLTrainingJob\nmetadata: { name: iris-%s }\nspec:\n  modelName: iris\n  version: %s\n  dataset: { uri: "builtin:iris" }\n  algorithm: logistic_regression\n  hyperparameters: { l2: %s }\n  evaluation: { metric: accuracy, minimum: 0.5, holdout: { percent: 20, seed: 0 } }\n---\n' $1 $2 $3; }
iris() { { job one v20261101-120000 1.0; job two v20261102-120000 0.1; job three v20261103-120000 0.01
 printf 'apiVersion: aurora.io/v1alpha1\nkind: MLDeployment\nmetadata: { name: iris }\nspec:\n  modelName: iris\n  stable: { version: %s }\n' $1; [ -z "${2:-}" ] || printf '  canary: { version: %s, weight: 20 }\n' $2; } > environments/dev/iris.yaml; }
printf 'apiVersion: aurora.io/v1alpha1\nkind: MLEnvironment\nmetadata: { name: dev }\nspec: { target: Standalone }\n' > environments/dev/environment.yaml
up() { $A up --data-dir $W/data --inference 127.0.0.1:18680 --control-plane 127.0.0.1:18600 > $W/up.log 2>&1 & P=$!; }
settle() { for i in $(seq 1 300); do curl -s -m 2 127.0.0.1:18600/status | grep -q "\"appliedRevision\":\"$(git rev-parse main)\"" && return; sleep 0.2; done; cat $W/up.log; exit 1; }
iris v20261101-120000 v20261102-120000; git add .; commit 2026-11-20T10:00:00Z "a canary"
up; settle; iris v20261102-120000; commit 2026-11-21T10:00:00Z "promoted"; settle; sleep 1
iris v20261102-120000 v20261103-120000; commit 2026-11-22T10:00:00Z "another canary"; settle; sleep 1
$A rollout abort iris --data-dir $W/data --reason "slow"; sleep 2; curl -s 127.0.0.1:18600/status > $W/status.json; kill $P; wait $P || true
mkdir -p $F; cp -a $W/data $F/data; cp environments/dev/environment.yaml $F/
for n in 1 2 3; do git show main~$((3 - n)):environments/dev/iris.yaml > $F/iris-$n.yaml; done
(cd $F/data; rm -f .gitignore lock heartbeat registry/aurora/registry/.lock; sed -i "s#$W/#/tmp/release-before/#g" registry/aurora/iris/runs/*/request.json)
git log --format='%H %s'; rm -rf $W
