#!/usr/bin/env bash
# The three-region deployment of deploy/compose.yaml on this host: scripts/stack.sh image|up|status|drill|logs|down
set -euo pipefail
cd "$(dirname "$0")/.."

image=${THINRELAY_IMAGE:-thinrelay:local}
go=${GO:-go}
max_bytes=${THINRELAY_MAX_BYTES:-25000000} # docs/decisions/0010-one-binary-in-the-image.md
relays=(eu-1 us-1 ap-1)
wait_seconds=${THINRELAY_WAIT:-90}

# compose is docker compose or docker-compose, whichever this host has.
if docker compose version >/dev/null 2>&1; then
  compose=(docker compose)
elif command -v docker-compose >/dev/null; then
  compose=(docker-compose)
else
  compose=()
fi

compose() {
  if [ ${#compose[@]} -eq 0 ]; then
    echo "neither docker compose nor docker-compose is there: install the package docker-compose-plugin or docker-compose" >&2
    return 1
  fi
  "${compose[@]}" -f deploy/compose.yaml "$@"
}

# ctl runs relayctl in the first relay that runs.
ctl() {
  local relay tty=(-T)
  # With a terminal it draws a progress bar, and has colours.
  if [ -t 0 ] && [ -t 1 ] && [ -t 2 ]; then tty=(); fi
  for relay in "${relays[@]}"; do
    if [ "$(state "$relay")" = running ]; then
      compose exec "${tty[@]}" "$relay" relayctl "$@"
      return
    fi
  done
  echo "no relay runs: start them with make up" >&2
  return 2
}

# state SERVICE: running, exited, …; empty without a container.
state() {
  local id
  id=$(compose ps -q "$1" 2>/dev/null) && [ -n "$id" ] && docker inspect -f '{{.State.Status}}' "$id" 2>/dev/null || true
}

image() {
  local context=dist/image arch before id log size
  arch=$(docker version --format '{{.Server.Arch}}')
  rm -rf "$context"
  # Folders that a relay writes to are in the image, so that a volume mounted there belongs to its user.
  mkdir -p "$context"/rootfs/{bin,certs,etc/relayd,var/lib/relayd}
  CGO_ENABLED=0 GOOS=linux GOARCH=$arch "$go" build -trimpath -buildvcs=false -ldflags "${LDFLAGS:--s -w}" \
    -o "$context/rootfs/bin/" ./cmd/relayd
  ln -s relayd "$context/rootfs/bin/relayctl" # the same program by its other name
  chmod -R u=rwX,go=rX "$context"
  chmod 700 "$context"/rootfs/{certs,var/lib/relayd}
  # BuildKit where the client can, the classic builder elsewhere: both do.
  if [ -z "${DOCKER_BUILDKIT:-}" ] && ! docker buildx version >/dev/null 2>&1; then
    export DOCKER_BUILDKIT=0
  fi
  before=$(docker image inspect -f '{{.Id}}' "$image" 2>/dev/null || true)
  # What it says when all is well is that there is a newer builder.
  log=$(docker build --file deploy/Dockerfile --label "org.opencontainers.image.version=${VERSION:-dev}" \
    --label org.opencontainers.image.source=https://github.com/thinrelay/thinrelay --label org.opencontainers.image.licenses=MIT \
    --iidfile dist/image.id "$context" 2>&1) || { echo "$log" >&2; return 1; }
  id=$(<dist/image.id)
  size=$(docker image inspect -f '{{.Size}}' "$id")
  if [ "$size" -ge "$max_bytes" ]; then
    discard "$id"
    echo "the image would have $size bytes, and must have less than $max_bytes; $image was left as it was" >&2
    echo "  next: see what has grown in $context/rootfs; docs/decisions/0010-one-binary-in-the-image.md says why there is a limit" >&2
    return 1
  fi
  docker tag "$id" "$image"
  if [ -n "$before" ]; then
    discard "$before"
  fi
  echo "$image: $(awk -v b="$size" 'BEGIN { printf "%.1f", b / 1000000 }') MB, linux/$arch"
}

# discard IMAGE: removes it, unless it has a name or something runs on it.
discard() {
  if [ "$(docker image inspect -f '{{len .RepoTags}}' "$1" 2>/dev/null)" = 0 ]; then
    docker image rm "$1" >/dev/null 2>&1 || true
  fi
}

up() {
  docker image inspect "$image" >/dev/null 2>&1 || image
  compose up -d --no-build "$@"
  await
  compose ps
  echo
  ctl status || true # degraded for a while after a start is no failure of make up
  echo
  echo "status pages: http://127.0.0.1:${THINRELAY_PORT_EU:-9871} (eu-1), ${THINRELAY_PORT_US:-9872} (us-1), ${THINRELAY_PORT_AP:-9873} (ap-1)"
  echo "next: make drill, or: ${compose[*]} -f deploy/compose.yaml exec eu-1 relayctl status --watch; make down removes everything"
}

# await returns when every container is healthy and the group forwards blocks.
await() {
  local deadline=$((SECONDS + wait_seconds)) waiting
  echo "waiting for the group" >&2
  while :; do
    waiting=$(unhealthy)
    if [ -z "$waiting" ] && forwards; then
      return 0
    fi
    if [ "$SECONDS" -ge "$deadline" ]; then
      echo "not there after ${wait_seconds} s; not healthy: ${waiting:-none}" >&2
      ctl status >&2 || true
      compose logs --tail=20 "${relays[@]}" >&2
      return 1
    fi
    sleep 1
  done
}

# forwards: the group has a leader and a block of ours has left. relayctl fails for less than that, such as a busy disk.
forwards() {
  local now
  now=$(ctl --json status 2>/dev/null || true)
  grep -q '"leader": "[a-z]' <<<"$now" && grep -q '"forwarded": {' <<<"$now"
}

# unhealthy lists the containers that are not well.
unhealthy() {
  local ids
  ids=$(compose ps -q)
  [ -n "$ids" ] || { echo everything; return; }
  # The one-shot has ended and has no health.
  docker inspect -f '{{.Name}} {{.State.Status}} {{.State.ExitCode}} {{if .State.Health}}{{.State.Health.Status}}{{else}}none{{end}}' $ids |
    awk '!($2 == "exited" && $3 == 0) && !($2 == "running" && ($4 == "healthy" || $4 == "none")) { printf "%s (%s, %s) ", substr($1, 2), $2, $4 }'
}

# down leaves no container, network or volume; the image stays, unless THINRELAY_RMI is set.
down() {
  compose down --volumes --remove-orphans --timeout 20
  if [ -n "${THINRELAY_RMI:-}" ]; then
    docker image rm "$image"
  fi
}

case "${1:-}" in
  image) image ;;
  up) shift; up "$@" ;;
  status) ctl status ;;
  drill) shift; ctl drill --count "${COUNT:-5}" "$@" ;;
  logs) shift; compose logs --tail=100 "$@" ;;
  down) down ;;
  *)
    echo "usage: $0 image|up|status|drill|logs|down" >&2
    exit 2
    ;;
esac
