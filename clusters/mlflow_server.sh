#!/bin/sh
# The MLflow server of a cluster's head, on loopback: `mlflow_server.sh FOLDER [PORT]`. It outlives the shell that starts
# it, is started again when it ends, and takes the place of one that was started before.
set -eu
folder=$1 port=${2:-5000}
mkdir -p "$folder"
# After a reboot its number may be another's.
if [ -f "$folder/pid" ] && pgrep -f -g "$(cat "$folder/pid")" 'mlflow server' > /dev/null; then
    kill -TERM "-$(cat "$folder/pid")" 2> /dev/null || true
fi
cd "$folder"
MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false MLFLOW_DISABLE_TELEMETRY=1 setsid sh -c '
    echo $$ > pid
    while :; do
        mlflow server --host 127.0.0.1 --port "$1" --backend-store-uri sqlite:///mlflow.db --artifacts-destination ./artifacts
        sleep 2
    done' mlflow "$port" >> log.txt 2>&1 < /dev/null &
