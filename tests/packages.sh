#!/usr/bin/env bash
# Install the Debian packages that some tests need: podman, a Slurm cluster and Chromium. If that
# fails, the tests that need them are skipped with a message.
set -euo pipefail

# package:a file that it installs
PACKAGES=(
    podman:/usr/bin/podman
    runc:/usr/sbin/runc
    fuse-overlayfs:/usr/bin/fuse-overlayfs
    netavark:/usr/lib/podman/netavark
    uidmap:/usr/bin/newuidmap
    debootstrap:/usr/sbin/debootstrap
    slurmctld:/usr/sbin/slurmctld
    slurmd:/usr/sbin/slurmd
    slurm-client:/usr/bin/sbatch
    munge:/usr/sbin/munged
    chromium:/usr/bin/chromium
)

missing=()
for package in "${PACKAGES[@]}"; do
    if [ ! -e "${package#*:}" ]; then missing+=("${package%%:*}"); fi
done
if [ ${#missing[@]} -eq 0 ]; then exit; fi

echo "setup: ${missing[*]} from Debian ..." >&2
if ! {
    apt-get update --quiet --quiet &&
        DEBIAN_FRONTEND=noninteractive apt-get install --quiet --quiet --yes \
            --no-install-recommends "${missing[@]}"
} >&2; then
    echo "WARNING: apt-get could not install ${missing[*]}; tests that need them are skipped." >&2
fi
