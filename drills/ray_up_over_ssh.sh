#!/bin/bash
# `ray up` over ssh, for real: clusters/on-premises.yaml with this machine as its head (127.0.0.1) and as a worker
# (127.0.0.2), then a tiny sweep as a job, its result fetched, and `ray down`.
#
#   sudo apt-get install openssh-server rsync
#   drills/ray_up_over_ssh.sh
#
# Runs in the environment of `make test`. The ssh server is one of its own, on loopback, with keys made for the purpose. All
# that is written, the two home folders too, lies in one temporary folder that is gone at the end. `ray stop` and `ray down`
# would end every Ray of the host; on these nodes `ray stop` ends only what the drill has begun.
set -euo pipefail
cd "$(dirname "$0")/.."
here=$(dirname "$(command -v python)")
for program in /usr/sbin/sshd rsync "$here/ray" "$here/mlflow"; do
    command -v "$program" > /dev/null || { echo "$program is missing" >&2; exit 2; }
done
work=$(mktemp -d /tmp/drill.XXXX) name=drill-$$
mkdir -p "$work/programs" "$work/tmp" "$work/shared"
export TMPDIR=$work/tmp RAY_TMPDIR=$work/tmp RAY_USAGE_STATS_ENABLED=0 RAY_UP_enable_autoscaler_v2=1

begun() { # processes that the drill's nodes have started, by their environment
    grep -lsF "DRILL=$work" /proc/[0-9]*/environ | cut -d/ -f3 || true
}
clean_up() {
    for signal in TERM KILL; do
        begun | xargs -r kill -$signal 2> /dev/null || true
        sleep 2
    done
    [ ! -f "$work/sshd.pid" ] || kill "$(cat "$work/sshd.pid")"
    [ -n "${KEEP-}" ] || rm -rf "$work"
    echo "--- of the drill's processes $(begun | wc -l) are left"
}
trap clean_up EXIT
free_port() { python -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

echo "--- an ssh server on loopback, and two home folders"
ssh_port=$(free_port)
ssh-keygen -q -t ed25519 -N '' -f "$work/host_key"
ssh-keygen -q -t ed25519 -N '' -f "$work/user_key"
cat > "$work/sshd_config" <<END
ListenAddress 127.0.0.1:$ssh_port
ListenAddress 127.0.0.2:$ssh_port
HostKey $work/host_key
PidFile $work/sshd.pid
AuthorizedKeysFile $work/user_key.pub
AuthenticationMethods publickey
PermitRootLogin prohibit-password
StrictModes no
UsePAM no
END

# Ray's launcher, and on the head its autoscaler, know no port for ssh; and ssh itself takes ~ from the list of users.
cat > "$work/programs/ssh" <<END
#!/bin/sh
[ ! -f "\$HOME/ray_bootstrap_key.pem" ] || set -- -i "\$HOME/ray_bootstrap_key.pem" "\$@"
exec /usr/bin/ssh -o Port=$ssh_port "\$@"
END
# In place of the environment that each node would install: this one, with the project as it was synced.
for program in python mlflow; do printf '#!/bin/sh\nexec %s "$@"\n' "$here/$program" > "$work/programs/$program"; done
printf '#!/bin/sh\necho "(stand-in) pip $*" >&2\n' > "$work/programs/pip"
cat > "$work/programs/ray" <<END
#!/bin/sh
[ "\$1" = stop ] || exec $here/ray "\$@"
for process in \$(grep -lsF "HOME=\$HOME" /proc/[0-9]*/environ | cut -d/ -f3); do
    case "\$(2> /dev/null tr '\\0' ' ' < /proc/\$process/cmdline)" in
    *raylet/raylet*|*gcs_server*|*/monitor.py*|*dashboard*) kill \$process;;
    esac
done
END
chmod +x "$work"/programs/*
for node in 1 2; do
    mkdir -p "$work/home$node/venv"
    cp -r "$work/programs" "$work/home$node/venv/bin"
    printf 'case $- in *i*) ;; *) return;; esac\n' > "$work/home$node/.bashrc"  # as Ubuntu's begins
    cat >> "$work/sshd_config" <<END
Match LocalAddress 127.0.0.$node
    SetEnv HOME=$work/home$node DRILL=$work RAY_TMPDIR=$work/tmp PYTHONPATH=$work/home$node/fashion_sweep OMP_NUM_THREADS=1
END
done
[ "$(id -u)" != 0 ] || mkdir -p /run/sshd
/usr/sbin/sshd -f "$work/sshd_config" -E "$work/sshd.log"

echo "--- clusters/on-premises.yaml, with what is particular here"
mkdir -p "$work/laptop/.ray"
ln -s "$work/programs" "$work/laptop/bin"
export HOME=$work/laptop PATH=$work/programs:$here:$PATH RAY_AUTH_MODE=token
"$here/ray" get-auth-token --generate > /dev/null
python - "$work" "$name" "$(free_port)" "$(free_port)" "$(free_port)" <<'END'
import getpass, sys, yaml
work, name, gcs, mlflow, client = sys.argv[1:]
text = open("clusters/on-premises.yaml").read()
same_host = "--dashboard-agent-listen-port=0 --min-worker-port=0 --max-worker-port=0"
for old, new in {
    "PRESET=sdxl": "PRESET=tiny", "=/shared/runs": f"={work}/shared/runs", "http://127.0.0.1:5000": f"http://127.0.0.1:{mlflow}",
    "--port=6379": f"--port={gcs} --num-cpus=0 --ray-client-server-port={client} --dashboard-port=0 {same_host}",
    "HEAD_IP:6379": f"HEAD_IP:{gcs} --node-ip-address=127.0.0.2 --num-cpus=2 {same_host}", "server.sh ~/mlflow": f"server.sh ~/mlflow {mlflow}",
}.items():
    assert old in text, old
    print(f"{old}  →  {new}".replace(work, "$work"))
    text = text.replace(old, new)
config = yaml.safe_load(text)
config["cluster_name"] = name
config["provider"] |= {"head_ip": "127.0.0.1", "worker_ips": ["127.0.0.2"]}
config["auth"] = {"ssh_user": getpass.getuser(), "ssh_private_key": f"{work}/user_key"}
config["rsync_exclude"].append(".git")
yaml.safe_dump(config, open(f"{work}/cluster.yaml", "w"), sort_keys=False)
END
cluster=$work/cluster.yaml

on_head() { echo "\$ ray exec cluster.yaml '$1'"; quietly ray exec "$cluster" "$1"; }
quietly() { "$@" 2>&1 | tr -d '\r' | sed 's/\x1b\[[0-9;]*m//g; s/  *$//' | grep -v '^20.* -- \|^Shared connection\|^$'; }

echo "--- \$ ray up"
ray up -y "$cluster" 2>&1 | sed 's/\x1b\[[0-9;]*m//g' | grep 'updater.py\|stand-in\|runtime started' | sed 's/^.* -- //' | cut -c1-120
for _ in $(seq 15); do
    ray exec "$cluster" 'ray status' 2>&1 | grep -q '/2.0 CPU' && break
    sleep 2
done
on_head 'ray status'
on_head 'printf "%s\n" $FASHION_SWEEP_PRESET $FASHION_SWEEP_RUNS $RAY_ADDRESS $MLFLOW_TRACKING_URI'
on_head 'RAY_AUTH_MODE=disabled ray status 2>&1 | tail -1 | cut -c1-160'

echo "--- the sweep, as a job that outlives its terminal"
settings="--set training.steps=5 --set training.views=1 --set data.fashion.rendered_images=100 --set sweep.judge=[] --set sweep.trials=[{unet:\ 1}]"
on_head "ray job submit --no-wait --submission-id first -- python -m fashion_sweep run exp2 --name first $settings"
for _ in $(seq 30); do
    said=$(ray exec "$cluster" 'ray job status first' 2>&1 || true)
    state=$(grep -oi 'succeeded\|failed\|stopped' <<< "$said" | head -1 || true)
    [ -z "$state" ] || break
    sleep 1
done
on_head 'ray job logs first | tail -25'
echo "job: $state"
on_head 'python -c "import mlflow; print([e.name for e in mlflow.MlflowClient().search_experiments()])"'
ls "$work/shared/runs/first/trials/"*/adapter/*.safetensors | sed "s|$work|\$work|"
grep -h "Connect" "$work/shared/runs/first/log.txt" | cut -c1-120

echo "--- what listens elsewhere than on loopback"
ss -ltnp 2> /dev/null | grep -v '127.0.0\|\[::1\]' | grep -F "$(begun | sed 's/.*/pid=&,/')" | awk '{print $4, $6}' || true

echo "--- the result, fetched from the head by rsync"
ray rsync-down "$cluster" "$work/shared/runs/first/" "$work/laptop/first/" > /dev/null 2>&1
ls "$work/laptop/first"
echo "--- \$ ray down"
ray down -y "$cluster" 2>&1 | sed 's/\x1b\[[0-9;]*m//g; s/^.* -- //' | grep -v '^Running\|^Full\|^Shared'
